"""A test that takes its process along, between two that must not suffer from it."""

import os


def test_labels_have_a_barcode():
    assert "|" in " | ".join("4006381333931")


def test_label_printer_driver():
    os._exit(3)  # stands for a driver that crashes


def test_labels_have_an_address():
    assert "München".encode()

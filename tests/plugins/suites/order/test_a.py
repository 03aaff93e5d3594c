import pytest


@pytest.mark.order(3)
def test_third():
    open("order.txt", "a").write("third\n")


@pytest.mark.order("first")
def test_first():
    open("order.txt", "a").write("first\n")


@pytest.mark.order(after="test_b.py::test_second")
def test_after():
    pass

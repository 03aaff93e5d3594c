"""Tests for machines with a GPU: one that pytest skips elsewhere, one that only the scheduler can keep away."""

import shutil

import pytest

HAS_GPU = shutil.which("nvidia-smi") is not None


@pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
def test_volume_is_measured_from_pictures():
    assert HAS_GPU


@pytest.mark.dt(requires="cuda", memory="8GiB")
def test_volume_on_the_gpu():
    assert HAS_GPU


def test_volume_of_a_box():
    assert 2 * 3 * 4 == 24

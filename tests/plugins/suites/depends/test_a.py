import pytest


@pytest.mark.depends(on=["test_b.py::test_b"])
def test_needs_b():
    assert open("b.txt").read() == "b"


@pytest.mark.depends(on=["test_red"])
def test_needs_red(): pass


def test_red(): assert 0

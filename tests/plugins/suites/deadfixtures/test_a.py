import pytest


@pytest.fixture
def broken():
    raise OSError("broken")


@pytest.mark.parametrize("n", range(3))
def test_n(n): pass


def test_red():
    print("printed")
    assert {"a": 1, "b": [1, 2, 3]} == {"a": 1, "b": [1, 2, 4]}


def test_error(broken): pass

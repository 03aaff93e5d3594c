import pytest


@pytest.mark.parametrize("n", range(3))
def test_n(n):
    print("output", n)


def test_red():
    assert 0, "it is red"

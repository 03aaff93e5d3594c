import pytest


@pytest.mark.parametrize("n", range(5))
def test_n(snapshot, n):
    assert {"n": n} == snapshot

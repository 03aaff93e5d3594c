import os
import pytest


@pytest.mark.parametrize("n", range(10))
def test_n(n, once):
    assert int(os.environ["PYTEST_XDIST_WORKER_COUNT"]) == 2


ran = []


@pytest.mark.xdist_group("over files")
def test_second():
    assert ran == ["a"]

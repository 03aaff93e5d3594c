import pytest


@pytest.fixture(scope="module")
def place():
    yield 1


def test_b(place): pass


@pytest.mark.skip(reason="no")
def test_skipped(): pass

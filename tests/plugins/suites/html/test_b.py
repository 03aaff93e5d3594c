import pytest


def test_b(): pass


@pytest.mark.skip(reason="not now")
def test_skipped(): pass


@pytest.mark.xfail
def test_known(): assert 0

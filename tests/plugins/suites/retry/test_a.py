import itertools
import pytest

tries, more = itertools.count(1), itertools.count(1)


def test_second_time():
    assert next(tries) == 2


@pytest.mark.flaky(retries=3, delay=0)
def test_by_mark():
    assert next(more) == 3


def test_red():
    assert 0

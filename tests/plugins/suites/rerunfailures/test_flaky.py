import itertools
import pytest

tries = itertools.count(1)
own = itertools.count(1)


@pytest.fixture(scope="module")
def place():
    return []


def test_second_time():
    assert next(tries) >= 2


def test_module_fixture_lives(place):
    place.append(1)
    assert len(place) == 2


@pytest.mark.flaky(reruns=4, reruns_delay=0)
def test_by_mark():
    assert next(own) == 4


@pytest.mark.flaky(reruns=0)
def test_never_again():
    assert False


def test_always_red():
    assert False

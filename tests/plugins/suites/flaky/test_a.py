from flaky import flaky
import itertools

tries, more = itertools.count(1), itertools.count(1)


@flaky
def test_second_time():
    assert next(tries) == 2


@flaky(max_runs=4, min_passes=2)
def test_two_passes():
    assert next(more) in (2, 4)


@flaky
def test_red():
    assert 0

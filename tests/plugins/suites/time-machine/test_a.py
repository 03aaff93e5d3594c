import time
import pytest
import time_machine


@time_machine.travel(0)
def test_epoch():
    assert time.time() < 5


def test_fixture(time_machine):
    time_machine.move_to(86400 * 400)
    assert time.gmtime().tm_year == 1971
    assert 0

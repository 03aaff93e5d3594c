import datetime
import time
import pytest
from freezegun import freeze_time


@pytest.mark.freeze_time("2001-02-03")
def test_mark():
    assert datetime.date.today() == datetime.date(2001, 2, 3)


def test_moves(freezer):
    freezer.move_to("2030-01-01")
    assert time.gmtime().tm_year == 2030


@freeze_time("1970-01-02")
def test_decorated():
    assert time.time() == 86400
    assert 0

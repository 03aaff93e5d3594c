import time


def test_now():
    assert time.time() > 1_700_000_000

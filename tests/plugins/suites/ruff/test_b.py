import sys


def test_b():
    pass

import os


def test_b():
    assert os.environ['HOME'] != '/nowhere'

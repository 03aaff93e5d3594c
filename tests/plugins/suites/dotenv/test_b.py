import os


def test_b():
    assert os.environ['SHOP'] == 'open'

import os
SHOP = os.environ['SHOP']


def test_a():
    assert SHOP == 'open'

from shop import stock


def test_count():
    assert stock.count() == 3


def test_not_measured(no_cover):
    assert stock.count() == 3

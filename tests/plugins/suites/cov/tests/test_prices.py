import pytest
from shop.prices import with_tax


@pytest.mark.parametrize("price, taxed", [(1, 1.2), (10, 12.0), (0, 0.0)])
def test_tax(price, taxed):
    assert with_tax(price) == taxed


def test_negative():
    with pytest.raises(ValueError):
        with_tax(1, -1)

"""Passing tests, and one that finds a mistake."""

from decimal import Decimal

import pytest

from parcels import price


@pytest.mark.parametrize(("weight_kg", "euros"), [(0.2, "4.50"), (0.99, "4.50"), (3, "7.90"), (20, "16.50")])
def test_the_price_depends_on_the_weight(weight_kg, euros):
    assert price(weight_kg) == Decimal(euros)


def test_express_costs_half_as_much_again():
    assert price(3, is_express=True) == Decimal("11.85")


@pytest.mark.parametrize("weight_kg", [0, -1, 32])
def test_what_cannot_be_sent_is_refused(weight_kg):
    with pytest.raises(ValueError):
        price(weight_kg)


def test_heavy_parcels_cost_more():
    assert price(31.5) == Decimal("16.50")

"""An integration test: its directory says so."""

from decimal import Decimal

from parcels import price, route


def test_a_quote_has_a_price_and_a_route():
    network = {"Hamburg": ["Berlin"], "Berlin": []}
    assert (price(2), route(network, "Hamburg", "Berlin")) == (Decimal("7.90"), ["Hamburg", "Berlin"])

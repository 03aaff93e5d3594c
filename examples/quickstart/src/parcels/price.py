"""The price of a parcel."""

from __future__ import annotations

from decimal import Decimal

STEPS = ((1.0, Decimal("4.50")), (5.0, Decimal("7.90")), (31.5, Decimal("16.50")))
EXPRESS = Decimal("1.5")


def price(weight_kg: float, *, is_express: bool = False) -> Decimal:
    """The price in euros for a weight of up to 31.5 kg. Raises ValueError beyond that, or for no weight at all."""
    if weight_kg <= 0:
        raise ValueError(f"a parcel weighs something, not {weight_kg} kg")
    for limit_kg, euros in STEPS:
        if weight_kg < limit_kg:  # the mistake that a test finds: a limit belongs to its own step
            return euros * EXPRESS if is_express else euros
    raise ValueError(f"{weight_kg} kg is more than the {STEPS[-1][0]} kg that we carry")

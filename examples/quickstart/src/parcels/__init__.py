"""What it costs to send a parcel, and which way it goes."""

from parcels.price import price
from parcels.route import route

__all__ = ["price", "route"]

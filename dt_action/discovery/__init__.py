"""Discovery: which files are tests, and of which test type, without importing any of them."""

from dt_action.discovery.select import discover
from dt_action.discovery.test_types import BUILT_IN_TYPES

__all__ = ["BUILT_IN_TYPES", "discover"]

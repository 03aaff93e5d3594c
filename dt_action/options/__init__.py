"""Options: one table (`table`), the kinds of value (`kinds`), and which source wins (`cascade`)."""

from dt_action.options.cascade import USER_INFO, read_flags, resolve, secret_values, secret_variables, without_secrets
from dt_action.options.table import GROUPS, OPTIONS, Option, Settings, Source

__all__ = [
    "GROUPS",
    "OPTIONS",
    "USER_INFO",
    "Option",
    "Settings",
    "Source",
    "read_flags",
    "resolve",
    "secret_values",
    "secret_variables",
    "without_secrets",
]

"""`dt workers`: see `dt_action.cli.runs`."""

from __future__ import annotations

from dt_action.cli.runs import workers as main

__all__ = ["main"]

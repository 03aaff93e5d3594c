"""Distributed Testing: run a project's tests where the hardware they need is, and tell the CI service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dt_action.cicd_integration import CICDIntegration

__all__ = ["CICDIntegration", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load `CICDIntegration` when it is asked for, so that `dt` starts fast."""
    if name == "CICDIntegration":
        from importlib import import_module

        return import_module("dt_action.cicd_integration").CICDIntegration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

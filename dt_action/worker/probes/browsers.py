"""Browsers on the path, by the names that tests ask for."""

from __future__ import annotations

from dt_action.worker.probes.system import System

_COMMANDS = {
    "chrome": ("google-chrome", "google-chrome-stable", "chrome"),
    "chromium": ("chromium", "chromium-browser"),
    "firefox": ("firefox", "firefox-esr"),
    "edge": ("microsoft-edge", "msedge"),
    "safari": ("safaridriver",),
}


def names(system: System) -> frozenset[str]:
    """The browsers that are installed."""
    return frozenset(name for name, commands in _COMMANDS.items() if any(map(system.which, commands)))

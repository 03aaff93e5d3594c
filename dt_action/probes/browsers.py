"""Browsers on the path, by the names that tests ask for."""

from __future__ import annotations

from dt_action.probes.system import System

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


def versions(system: System) -> dict[str, str]:
    """What each browser says of its version; asking starts it, so this is for people, not for each start."""
    found = {}
    for name, commands in _COMMANDS.items():
        command = next(filter(system.which, commands), "")
        if command:
            found[name] = (system.run((command, "--version")).strip() or "of unknown version").splitlines()[0][:80]
    return found

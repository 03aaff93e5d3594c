"""Where a project lies: in its repository, and under the folder that pytest takes for its root."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.errors import ConfigurationError
from dt_action.model.paths import Paths, paths_of
from dt_action.options import Settings
from dt_action.workspace.git import Git

_WORKSPACES = ("GITHUB_WORKSPACE", "CI_PROJECT_DIR", "WORKSPACE")
"""What CI services call the folder of the checkout; only where no repository lies there is it taken for its top."""


def paths_here(settings: Settings, environ: Mapping[str, str], arguments: Sequence[str]) -> Paths:
    """The paths for pytest that the settings start with `arguments` (files and folders)."""
    root = settings.root
    return paths_of(
        top=str(_top(root, environ)),
        start=os.path.realpath(root),
        root=os.path.realpath(_root_of_pytest(root, arguments, settings.pytest_args, environ)),
    )


def _top(root: Path, environ: Mapping[str, str]) -> Path:
    top = Git(root).top()
    if (top / ".git").exists():
        return top.resolve()
    here = root.resolve()
    for name in _WORKSPACES:
        folder = Path(environ.get(name) or root).resolve()
        if here != folder and here.is_relative_to(folder):
            return folder
    return here


def _root_of_pytest(
    root: Path, arguments: Sequence[str], pytest_args: Sequence[str], environ: Mapping[str, str]
) -> Path:
    from dt_action.discovery.pytest_config import read_pytest_config

    named = [root / argument.partition("::")[0] for argument in arguments]
    try:
        return read_pytest_config(root, named, pytest_args, environ).rootdir
    except ConfigurationError:  # pytest has refused it, too, and that was told
        return root


def size_of(path: Path) -> int:
    """The size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""The data directory: for the coordinator's own user alone, whatever the umask was when it was made."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def keep_private() -> None:
    """Have this process make files that only its own user can read."""
    os.umask(0o077)


def make_private(directory: Path) -> None:
    """
    Make the directory where it is missing, with mode 0700; let nobody else into one that is there, or its files.

    Windows has rights of its own, which a directory inherits.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "nt":
        return
    for path in (directory, *directory.iterdir()):
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                path.chmod(mode & 0o700)
        except OSError:  # somebody else's, such as a log that a service manager writes there
            continue

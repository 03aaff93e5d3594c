"""In a container that runs as root, the files that dt made belong to whoever owns the project, not to root."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def give_back(root: Path, names: Sequence[str], environ: Mapping[str, str]) -> None:
    """
    Hand what is below `names` in `root` to the owner of `root`, so that a person or a later job can delete it.

    Only in the image (`DT_IN_IMAGE`) and as root. What cannot be handed over stays as it is.
    """
    if not environ.get("DT_IN_IMAGE") or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    owner = root.stat()
    if owner.st_uid == 0:
        return
    for name in names:
        top = root / name
        if top.exists() and top.resolve().is_relative_to(root.resolve()):
            for path in (top, *top.rglob("*")):
                _change_owner(path, owner.st_uid, owner.st_gid)


def _change_owner(path: Path, uid: int, gid: int) -> None:
    try:
        if path.lstat().st_uid == 0:
            os.chown(path, uid, gid, follow_symlinks=False)
    except OSError:
        return

"""The folder `.dt_cache` in a project: what later runs can use again. It may be deleted at any time."""

from __future__ import annotations

from pathlib import Path

FOLDER = ".dt_cache"


def make_folder(folder: Path) -> None:
    """
    Make `folder`; where it lies in `.dt_cache`, git does not see it, nor does `--changed-since`.

    Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache = next((path for path in (folder, *folder.parents) if path.name == FOLDER), None)
    if cache is not None and not (cache / ".gitignore").exists():
        (cache / ".gitignore").write_text("*\n", encoding="utf-8")

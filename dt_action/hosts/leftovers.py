"""What a slot's process left that died in the middle of a test: its artifacts, and a core dump."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from dt_action.model.slot_protocol import Artifact
from dt_action.runner.left_files import messages_of

FOLDER = "artifacts"
"""Below the folder for temporary files; `runner.leaving` puts them there."""

_PATTERN = Path("/proc/sys/kernel/core_pattern")


def left_behind(basetemp: Path, slot: str, *, limit: int, core: Path | None = None) -> Iterator[Artifact]:
    """The files as messages, of whatever test the slot was running; at most `limit` bytes."""
    if not limit:
        return
    roots = [("", str(basetemp / FOLDER / slot))]
    for fields in messages_of(roots, limit):
        yield Artifact(id="", **fields)
    if core is not None:
        yield from _core(core, limit)


def core_of(pid: int, folder: Path) -> Path | None:
    """
    The core dump of a process that was started in `folder`, where the kernel puts it there and not into a program.

    See core(5): `core_pattern` may have %p for the process; without one, and with `core_uses_pid`, it is appended.
    """
    try:
        pattern = _PATTERN.read_text().strip()
    except OSError:
        return None
    if not pattern or pattern.startswith("|"):
        return None
    name = pattern.replace("%p", str(pid)).replace("%P", str(pid))
    for candidate in (name, f"{name}.{pid}"):
        expression = re.sub(r"%[%a-zA-Z]", "*", Path(candidate).name)
        place = folder / Path(candidate).parent
        with contextlib.suppress(OSError, ValueError):
            found = [path for path in place.glob(expression) if path.is_file() and not path.is_symlink()]
            newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
            if newest is not None and (str(pid) in newest.name or len(found) == 1):
                return newest
    return None


def _core(core: Path, limit: int) -> Iterator[Artifact]:
    size = core.stat().st_size
    if size > limit:
        yield Artifact(id="", note=f"the core dump {core} has {size:,} bytes and stays where it is")
        return
    for fields in messages_of([("", str(core.parent))], limit):
        if fields.get("name") == core.name:
            yield Artifact(id="", **fields)

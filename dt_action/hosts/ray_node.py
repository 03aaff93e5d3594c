"""What actors keep on a Ray node: the tree and environment of each run, made once, removed when nobody holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dt_action.model.pytest_start import PytestStart
from dt_action.remote.bundle import unpack
from dt_action.workspace import environments
from dt_action.workspace.environments import Environment

KEPT_S = 60.0
"""What no actor holds is kept so long: one that died is followed by another one."""

PACKAGES_KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """
    Where the tests of a run lie on this node, and with what they run. Its `hold` ends with this process.

    Slots that measure leave their coverage data in folders below `coverage`.
    """

    root: Path
    coverage: Path
    environment: Environment
    hold: IO[str]


def enter(home: Path, bundle: bytes, start: PytestStart, python: str | None, environ: Mapping[str, str]) -> Workspace:
    """
    The workspace of a run below `home`: as on any worker, a tree that no other run's tests have written to.

    A shared lock on a file tells who uses it. The kernel takes that back from a process that is killed, so that
    nothing is left for ever. Raises DtError or OSError where there can be none.
    """
    runs = home / "runs"
    runs.mkdir(exist_ok=True)
    hold = _held(runs / f"{start.run}.lock")
    with (runs / f"{start.run}.making").open("a", encoding="ascii") as making:
        fcntl.flock(making, fcntl.LOCK_EX)  # one makes it, the others wait for that
        root, environment = _made(home, bundle, start, python, environ)
    threading.Thread(target=sweep, args=(home,), daemon=True).start()
    coverage = runs / f"{start.run}.coverage"
    coverage.mkdir(exist_ok=True)
    return Workspace(root=root, coverage=coverage, environment=environment, hold=hold)


def _made(
    home: Path, bundle: bytes, start: PytestStart, python: str | None, environ: Mapping[str, str]
) -> tuple[Path, Environment]:
    runs = home / "runs"
    tree = runs / start.run
    if not tree.is_dir():
        _unpack(bundle, tree)
    root = environments.root_in(tree, start.directory, start.requirements)
    own = environments.is_bound_to_tree(root, start.requirements)
    prepared = runs / f"{start.run}.prepared"
    environment = environments.prepare(
        root,
        python or sys.executable,
        environ,
        requirements=start.requirements,
        tools=start.tools,
        setup=None if prepared.exists() else start.setup or None,
        run=environments.run_command,
        home=runs / f"{start.run}.environments" if own else home / "environments",
    )
    prepared.touch()
    return root, environment


def sweep(home: Path, *, kept_s: float = KEPT_S) -> None:
    """Remove the workspaces that no process holds, and what nobody has begun to use for days."""
    for lock in (home / "runs").glob("*.lock"):
        with contextlib.suppress(OSError), lock.open("a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - lock.stat().st_mtime > kept_s:
                for suffix in ("", ".environments", ".coverage"):
                    shutil.rmtree(lock.with_suffix(suffix), ignore_errors=True)
                for suffix in (".prepared", ".making", ".lock"):
                    lock.with_suffix(suffix).unlink(missing_ok=True)
    for path in (*(home / "packages").glob("*"), *(home / "runs").glob("new-*")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > PACKAGES_KEPT_S:
                shutil.rmtree(path, ignore_errors=True)


def _held(path: Path) -> IO[str]:
    """The file, held against its removal; made where there is none, or where it was removed meanwhile."""
    while True:
        file = path.open("a", encoding="ascii")
        fcntl.flock(file, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
                os.utime(path)
                return file
        file.close()


def _unpack(bundle: bytes, tree: Path) -> None:
    aside = Path(tempfile.mkdtemp(dir=tree.parent, prefix="new-"))
    try:
        archive = aside / "bundle.tar.gz"
        archive.write_bytes(bundle)
        unpack(archive, aside / "tree")
        (aside / "tree").rename(tree)
    finally:
        shutil.rmtree(aside, ignore_errors=True)

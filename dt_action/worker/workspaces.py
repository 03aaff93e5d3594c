"""The source tree and environment in which a run's tests execute on this machine, made once for all its slots."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.remote import wire
from dt_action.remote.bundle import unpack
from dt_action.workspace import environments
from dt_action.workspace.environments import Environment
from dt_action.workspace.locks import locked

KEPT_S = 60.0
"""A workspace that no slot uses is kept so long: a process that died is followed by another one."""

Fetch = Callable[[wire.Lease, Path], None]
"""Writes the bundle of a lease to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where pytest starts, and with what."""

    root: Path
    environment: Environment


@dataclass(slots=True, kw_only=True)
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    idle_since: float = 0.0
    workspace: Workspace | None = None


class Workspaces:
    """
    Workspaces below `home`, one for each run; bundles and environments are kept by digest.

    A run gets a fresh tree, never one that another run's tests have written to. Raises ConfigurationError where another
    process works below `home`.
    """

    def __init__(self, home: Path, *, python: str, environ: Mapping[str, str], run: environments.Runner) -> None:
        self.home = home
        self._python = python
        self._environ = environ
        self._run = run
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        home.mkdir(parents=True, exist_ok=True)
        self._hold = locked(home / "worker.lock")
        if self._hold is None:
            raise ConfigurationError(
                f"another worker uses the directory {home}, and what its tests need lies there",
                hint="give this one a directory of its own with --data",
            )
        for leftover in ("runs", "coverage"):
            shutil.rmtree(home / leftover, ignore_errors=True)

    def enter(self, lease: wire.Lease, fetch: Fetch) -> Workspace:
        """
        The workspace of the lease's run; `leave` must follow, whatever comes of it.

        Raises ConfigurationError, UnreadableError or OSError where it cannot be made.
        """
        with self._lock:
            place = self._places.setdefault(lease.run, _Place())
            place.users += 1
        with place.lock:
            if place.workspace is None:
                place.workspace = self._make(lease, fetch)
            return place.workspace

    def leave(self, run: str) -> None:
        """A slot of the run is gone."""
        with self._lock:
            place = self._places[run]
            place.users -= 1
            place.idle_since = time.monotonic()

    def data_folder(self, lease: wire.Lease) -> Path:
        """Where the process of a lease leaves its coverage data."""
        return self.home / "coverage" / lease.id

    def sweep(self, *, kept_s: float = KEPT_S) -> None:
        """Remove the workspaces that nobody has used for a while, and bundles of a day ago."""
        with self._lock:
            idle = [
                run
                for run, place in self._places.items()
                if not place.users and time.monotonic() - place.idle_since > kept_s
            ]
            swept = [path for run in idle for path in self._set_aside(run)]
        for path in swept:
            shutil.rmtree(path, ignore_errors=True)
        for bundle in (self.home / "bundles").glob("*"):
            if bundle.stat().st_mtime < time.time() - 24 * 3600:
                bundle.unlink(missing_ok=True)

    def _set_aside(self, run: str) -> Iterator[Path]:
        """Forget a run's workspace; what is to be deleted has names that no slot of the run will use again."""
        del self._places[run]
        for name in (run, f"{run}.environments"):
            aside = self.home / "runs" / f"{name}.old-{time.monotonic_ns()}"
            with contextlib.suppress(OSError):
                (self.home / "runs" / name).rename(aside)
                yield aside

    def _make(self, lease: wire.Lease, fetch: Fetch) -> Workspace:
        tree = self.home / "runs" / lease.run
        shutil.rmtree(tree, ignore_errors=True)
        unpack(self._bundle(lease, fetch), tree)
        root = environments.root_in(tree, lease.start.directory, lease.start.requirements)
        environment = environments.prepare(
            root,
            self._python,
            self._environ,
            requirements=lease.start.requirements,
            tools=lease.start.tools,
            setup=lease.start.setup or None,
            run=self._run,
            home=self._environments(lease, root),
        )
        return Workspace(root=root, environment=environment)

    def _environments(self, lease: wire.Lease, root: Path) -> Path:
        """Where the environment is kept: with others of its digest, unless it belongs to the tree."""
        own = environments.is_bound_to_tree(root, lease.start.requirements)
        return self.home / "runs" / f"{lease.run}.environments" if own else self.home / "environments"

    def _bundle(self, lease: wire.Lease, fetch: Fetch) -> Path:
        path = self.home / "bundles" / lease.bundle
        if path.is_file() and _digest(path) == lease.bundle:
            path.touch()
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.parent / f"draft-{lease.id}"
        try:
            fetch(lease, draft)
            if _digest(draft) != lease.bundle:
                raise UnreadableError("the bundle that came is not the one that was asked for")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        return path


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()

"""The source tree and environment in which a run's tests execute on this machine, made once for all its slots."""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.remote import wire
from dt_action.remote.trees import CAN_BE_MOVED, SpoiltError, Tree
from dt_action.workspace import environments
from dt_action.workspace.environments import Environment
from dt_action.workspace.locks import locked

KEPT_S = 60.0
"""A workspace that no slot uses is the run's for so long: a process that died is followed by another one."""

MOST_IDLE = 8
IDLE_S = 24 * 3600.0
"""So many trees wait so long for another run of their workspace."""

_LOG = logging.getLogger("dt.worker")

Fetch = Callable[[wire.Lease, Path], None]
"""Writes the bundle of a lease to a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Where pytest starts, and with what."""

    root: Path
    environment: Environment


@dataclass(slots=True, kw_only=True)
class _Tree:
    """A folder that has the source tree of one run at a time, and the environments that are of use for it alone."""

    folder: Path
    workspace: str
    tree: Tree
    idle_since: float = 0.0

    @property
    def environments(self) -> Path:
        return self.folder / "environments"


@dataclass(slots=True, kw_only=True)
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    idle_since: float = 0.0
    tree: _Tree | None = None
    workspace: Workspace | None = None


class Workspaces:
    """
    Workspaces below `home`, one for each run; bundles and environments are kept by digest.

    A run gets a tree of its own, as its archive says. It may be one in which an earlier run of the same workspace
    worked (`wire.Lease.workspace`): then only what differs is written, what that run's tests left there is gone, and
    bytecode and an environment made for the same tree are there already.

    Raises ConfigurationError where another process works below `home`.
    """

    def __init__(self, home: Path, *, python: str, environ: Mapping[str, str], run: environments.Runner) -> None:
        self.home = home
        self._python = python
        self._environ = environ
        self._run = run
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._idle: list[_Tree] = []
        self._made = 0
        home.mkdir(parents=True, exist_ok=True)
        self._hold = locked(home / "worker.lock")
        if self._hold is None:
            raise ConfigurationError(
                f"another worker uses the directory {home}, and what its tests need lies there",
                hint="give this one a directory of its own with --data",
            )
        for leftover in ("runs", "trees", "coverage"):
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
                place.workspace = self._make(place, lease, fetch)
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
        """Remove trees that nobody has used for a while, or that are too many, and bundles of a day ago."""
        now = time.monotonic()
        with self._lock:
            for run in [run for run, place in self._places.items() if not place.users]:
                if now - self._places[run].idle_since > kept_s:
                    self._let_go(run)
            self._idle.sort(key=lambda tree: tree.idle_since, reverse=True)
            kept = [tree for tree in self._idle[:MOST_IDLE] if now - tree.idle_since < IDLE_S]
            swept, self._idle = [tree for tree in self._idle if tree not in kept], kept
        for tree in swept:
            shutil.rmtree(tree.folder, ignore_errors=True)
        for bundle in (self.home / "bundles").glob("*"):
            if bundle.stat().st_mtime < time.time() - 24 * 3600:
                bundle.unlink(missing_ok=True)

    def _let_go(self, run: str) -> None:
        """Forget a run's workspace; its tree waits for another run."""
        place = self._places.pop(run)
        if place.tree is not None:
            place.tree.idle_since = place.idle_since
            self._idle.append(place.tree)

    def _make(self, place: _Place, lease: wire.Lease, fetch: Fetch) -> Workspace:
        archive = self._bundle(lease, fetch)
        if CAN_BE_MOVED and lease.workspace:
            with self._lock:
                idle = self._idle_tree(lease)
            if idle is not None:
                try:
                    return self._prepared(place, idle, lease, archive)
                except (SpoiltError, UnreadableError, OSError) as error:
                    _LOG.info("lease %s: the tree of an earlier run is of no use: %r", lease.id, error)
        return self._prepared(place, self._new_tree(lease), lease, archive)

    def _idle_tree(self, lease: wire.Lease) -> _Tree | None:
        """A tree in which a run of the same workspace has worked, and works no more; best one of the same bundle."""
        for run in [run for run, place in self._places.items() if not place.users]:
            tree = self._places[run].tree
            if tree is not None and tree.workspace == lease.workspace:
                self._let_go(run)
        usable = [tree for tree in self._idle if tree.workspace == lease.workspace]
        if not usable:
            return None
        best = max(usable, key=lambda tree: (tree.tree.bundle == lease.bundle, tree.idle_since))
        self._idle.remove(best)
        return best

    def _new_tree(self, lease: wire.Lease) -> _Tree:
        with self._lock:
            self._made += 1
            folder = self.home / "trees" / str(self._made)
        return _Tree(folder=folder, workspace=lease.workspace, tree=Tree(folder / "tree"))

    def _prepared(self, place: _Place, tree: _Tree, lease: wire.Lease, archive: Path) -> Workspace:
        """The workspace in a tree, which becomes the run's. It is removed where that fails."""
        try:
            if tree.tree.bundle != lease.bundle:
                shutil.rmtree(tree.environments, ignore_errors=True)
            tree.tree.move_to(archive, lease.bundle)
            workspace = self._with_environment(tree, lease)
            tree.tree.settle()
        except BaseException:
            shutil.rmtree(tree.folder, ignore_errors=True)
            raise
        place.tree = tree
        return workspace

    def _with_environment(self, tree: _Tree, lease: wire.Lease) -> Workspace:
        root = environments.root_in(tree.tree.root, lease.start.directory, lease.start.requirements)
        is_bound = environments.is_bound_to_tree(root, lease.start.requirements)
        environment = environments.prepare(
            root,
            self._python,
            self._environ,
            requirements=lease.start.requirements,
            tools=lease.start.tools,
            setup=lease.start.setup or None,
            run=self._run,
            home=tree.environments if is_bound else self.home / "environments",
        )
        return Workspace(root=root, environment=environment)

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

"""Trees of a worker: a run finds what its archive says, whatever runs before it did, and little is written for that."""

from __future__ import annotations

import hashlib
import io
import os
import py_compile
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dt_action.model.pytest_start import PytestStart
from dt_action.remote import trees, wire
from dt_action.remote.trees import SpoiltError, Tree
from dt_action.worker.workspaces import Workspaces

pytestmark = pytest.mark.skipif(not trees.CAN_BE_MOVED, reason="trees are made anew where files do not tell of changes")


def bundle(files: Mapping[str, str]) -> bytes:
    """An archive of these files; a text that begins with `-> ` is a link."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, text in sorted(files.items()):
            info = tarfile.TarInfo(name)
            if text.startswith("-> "):
                info.type, info.linkname = tarfile.SYMTYPE, text[3:]
            else:
                info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def digest_of(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()


def content(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif path.is_file():
            found[name] = path.read_text()
    return found


def move(tree: Tree, packed: bytes, at: Path) -> None:
    archive = at / "archive.tar.gz"
    archive.write_bytes(packed)
    tree.move_to(archive, digest_of(packed))


NAMES = st.sampled_from(["a.py", "b.py", "pkg/a.py", "pkg/sub/b.py", "c", "d/e"])
FILES = st.dictionaries(NAMES, st.sampled_from(["x = 1\n", "x = 2\n", "yy\n", "-> a.py"]), min_size=1)
DEEDS = st.lists(st.tuples(st.integers(0, 8), NAMES), max_size=6)


def do(root: Path, kind: int, name: str, outside: Path) -> None:
    """Something that a test may do to the tree."""
    path = root / name
    try:
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("left behind")
        elif kind == 2:  # as if nothing had happened
            times = path.stat()
            path.write_text(path.read_text().replace("1", "2"))
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        elif kind == 3:
            shutil.rmtree(path.parent if path.parent != root else path)
        elif kind == 4:
            shutil.rmtree(root / "pkg")
            (root / "pkg").symlink_to(outside)
        elif kind == 5:
            path.chmod(0o700)
        elif kind == 6:
            os.link(path, path.with_name("linked"))
        elif kind == 7:
            path.unlink()
            path.mkdir()
            (path / "in it").touch()
        elif kind == 8:
            (root / name.partition("/")[0]).replace(root / "moved")
    except OSError:
        pass


@given(steps=st.lists(st.tuples(FILES, DEEDS), min_size=1, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_tree_is_what_its_archive_says_whatever_tests_did_to_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[dict[str, str], list[tuple[int, str]]]]
) -> None:
    here = tmp_path_factory.mktemp("trees")
    outside = here / "outside"
    outside.mkdir()
    tree = Tree(here / "tree")
    for number, (files, deeds) in enumerate(steps):
        packed = bundle(files)
        shutil.rmtree(outside)
        outside.mkdir()
        (outside / "a.py").write_text("mine")
        move(tree, packed, here)
        assert content(outside) == {"a.py": "mine"}
        fresh = Tree(here / f"fresh{number}")
        move(fresh, packed, here)
        assert content(tree.root) == content(fresh.root)
        for kind, name in deeds:
            do(tree.root, kind, name, outside)


def test_only_what_differs_is_written_and_its_bytecode_goes(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree")
    move(tree, bundle({"same.py": "x = 1\n", "other.py": "x = 1\n"}), tmp_path)
    for name in ("same.py", "other.py"):
        py_compile.compile(str(tree.root / name))
    (tree.root / "__pycache__" / "left.txt").touch()
    inode = (tree.root / "same.py").stat().st_ino

    move(tree, bundle({"same.py": "x = 1\n", "other.py": "x = 2\n"}), tmp_path)

    assert (tree.root / "same.py").stat().st_ino == inode
    assert [path.name.partition(".")[0] for path in (tree.root / "__pycache__").iterdir()] == ["same"]


def test_what_was_prepared_stays_for_the_same_archive_alone_and_only_as_it_was(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "tree")
    one, two = (bundle({"a.py": f"x = {number}\n"}) for number in (1, 2))
    move(tree, one, tmp_path)
    (tree.root / "a.egg-info").write_text("installed")
    tree.settle()
    (tree.root / "left").touch()

    move(tree, one, tmp_path)
    assert [*content(tree.root)] == ["a.egg-info", "a.py"]
    (tree.root / "a.egg-info").write_text("overwritten")
    with pytest.raises(SpoiltError):
        move(tree, one, tmp_path)

    move(tree, two, tmp_path)
    assert [*content(tree.root)] == ["a.py"]


class World:
    """A worker's workspaces, with an installer that counts what it installs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.commands: list[str] = []
        self.bundles: dict[str, bytes] = {}
        self.spaces = Workspaces(home / "data", python="python", environ={}, run=self._run)

    def _run(self, command: object, *_: object) -> int:
        self.commands.append(str(command))
        return 0

    def lease(self, run: str, files: Mapping[str, str], workspace: str = "w", **start: object) -> wire.Lease:
        packed = bundle(files)
        self.bundles[digest_of(packed)] = packed
        started = PytestStart(run=run, **start)  # type: ignore[arg-type]
        return wire.Lease(id=run, token="", slot="gw0", bundle=digest_of(packed), start=started, workspace=workspace)

    def root(self, lease: wire.Lease) -> Path:
        return self.spaces.enter(lease, lambda lease, path: path.write_bytes(self.bundles[lease.bundle])).root


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_next_run_of_a_workspace_works_in_the_same_tree(world: World) -> None:
    first = world.root(world.lease("a", {"a.py": "1"}))
    (first / "left").touch()
    world.spaces.leave("a")

    second = world.root(world.lease("b", {"a.py": "2"}))

    assert second == first
    assert content(second) == {"a.py": "2"}


@pytest.mark.parametrize("workspace", ["other", ""])
def test_runs_of_different_workspaces_share_nothing(world: World, workspace: str) -> None:
    first = world.root(world.lease("a", {"a.py": "1"}, workspace))
    world.spaces.leave("a")
    assert world.root(world.lease("b", {"a.py": "1"})) != first


def test_two_runs_at_a_time_have_two_trees_and_so_has_one_whose_tree_went_to_another(world: World) -> None:
    first, again = world.lease("a", {"a.py": "1"}), world.lease("b", {"a.py": "1"})
    roots = [world.root(first), world.root(again)]
    assert roots[0] != roots[1]
    assert world.root(first) == roots[0], "one run, one tree"
    for run in ("a", "a", "b"):
        world.spaces.leave(run)
    taken = world.root(world.lease("c", {"a.py": "1"}))
    assert taken in roots
    assert world.root(first) != taken


def test_a_tree_that_nobody_can_use_again_is_made_anew(world: World) -> None:
    first = world.root(world.lease("a", {"a.py": "1"}, setup="make"))
    world.spaces.leave("a")
    (first.parent / "tree.new").write_text("no folder")
    assert content(world.root(world.lease("b", {"a.py": "1"}))) == {"a.py": "1"}
    assert len(world.commands) == 1


def test_idle_trees_are_few_and_leave_in_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dt_action.worker.workspaces.MOST_IDLE", 2)
    for run in "abcd":
        world.root(world.lease(run, {"a.py": run}, workspace=run))
        world.spaces.leave(run)
    world.spaces.sweep(kept_s=0.0)
    assert len([*(world.home / "data" / "trees").iterdir()]) == 2
    monkeypatch.setattr("dt_action.worker.workspaces.IDLE_S", 0.0)
    world.spaces.sweep()
    assert [*(world.home / "data" / "trees").iterdir()] == []

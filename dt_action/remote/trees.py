"""A source tree on disk that holds what an archive says, and is moved to the next archive by difference."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.remote.bundle import unpack

CAN_BE_MOVED = os.name == "posix"
"""Elsewhere the file system does not tell when a file was changed, only what programs say of it."""

BYTECODE = "__pycache__"
REWRITTEN = (".dt_cache", ".dt_cache/rewritten")
"""dt's test modules with rewritten asserts, which are found by the content of their sources."""


class SpoiltError(Exception):
    """Something that was prepared in the tree, and that no archive holds, is no longer as it was."""


@dataclass(frozen=True, slots=True)
class _File:
    """
    What a file was when the tree took it in: its inode, size, mode and times, of which programs cannot set the last.

    `digest` is of its content; None for what was prepared in the tree.
    """

    status: tuple[int, ...]
    digest: bytes | None = None


@dataclass(slots=True)
class Tree:
    """
    The files of an archive below `root`.

    After `move_to`, nothing is there but what the archive holds, what `settle` took for part of it, and bytecode and
    rewritten test modules of files that are the same as before. `bundle` is the archive's digest.
    """

    root: Path
    bundle: str = ""
    _files: dict[str, _File] = field(default_factory=dict)
    _prepared: dict[str, _File] = field(default_factory=dict)

    def move_to(self, archive: Path, bundle: str) -> None:
        """
        Hold the files of the archive; only what differs is written. What was prepared for another bundle goes.

        Raises SpoiltError where the tree has to be made anew, UnreadableError as `unpack` does, OSError where the tree
        cannot be changed.
        """
        if bundle != self.bundle:
            self._prepared.clear()
        self.bundle = ""  # until this is done
        aside = self.root.with_name(f"{self.root.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        unpack(archive, aside)
        self.root.mkdir(parents=True, exist_ok=True)
        untouched = self._sweep({name for name, entry in _entries(aside) if not _is_folder(entry)})
        if not self._prepared.keys() <= untouched:
            raise SpoiltError
        same = self._replace_from(aside, untouched)
        self._drop_bytecode(same | self._prepared.keys())
        shutil.rmtree(aside)
        self.bundle = bundle

    def settle(self) -> None:
        """Take all that lies in the tree now for part of it, as long as it holds this bundle."""
        for name, entry in _entries(self.root, is_entered=lambda name: not _is_cache(name)):
            if name not in self._files and not _is_folder(entry):
                self._prepared[name] = _File(_status(entry))

    def _sweep(self, wanted: set[str]) -> set[str]:
        """Remove what does not belong there; the names of the wanted files that nobody has touched since."""
        known = {**self._files, **self._prepared}
        wanted = wanted | self._prepared.keys()
        folders = {parent for name in wanted for parent in _parents(name)}
        untouched = set()
        for name, entry in _entries(self.root, is_entered=lambda name: name in folders):
            if _is_folder(entry):
                if name in folders:
                    Path(entry.path).chmod(0o755)
                elif not _is_cache(name):
                    shutil.rmtree(entry.path)
            elif name in wanted and name in known and known[name].status == _status(entry):
                untouched.add(name)
            else:
                Path(entry.path).unlink()
        return untouched

    def _replace_from(self, aside: Path, untouched: set[str]) -> set[str]:
        """Put every file of `aside` into its place that is not there; the names of those that were."""
        files, same = {}, set()
        for name, entry in _entries(aside):
            path = self.root / name
            if _is_folder(entry):
                path.mkdir(exist_ok=True)
                continue
            digest = _digest(entry)
            if name in untouched and self._files[name].digest == digest:
                files[name] = self._files[name]
                same.add(name)
            else:
                Path(entry.path).replace(path)
                files[name] = _File(_status(path), digest)
        self._files = files
        return same

    def _drop_bytecode(self, same: set[str]) -> None:
        """Bytecode names its source's time to the second, so that of a file which was replaced may seem to be good."""
        for name, entry in _entries(self.root):
            folder, _, file = name.rpartition("/")
            above, _, last = folder.rpartition("/")
            if last == BYTECODE and not _is_folder(entry):
                source = f"{above}/{file.partition('.')[0]}.py".lstrip("/")
                if source not in same or not file.endswith(".pyc") or entry.is_symlink():
                    Path(entry.path).unlink()


def _entries(
    root: Path, prefix: str = "", *, is_entered: Callable[[str], bool] = lambda name: True
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `root` by its name there, folders before what is in them; no link is followed."""
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{prefix}{entry.name}"
        yield name, entry
        if _is_folder(entry) and is_entered(name):
            yield from _entries(Path(entry.path), f"{name}/", is_entered=is_entered)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _is_cache(name: str) -> bool:
    return name.rpartition("/")[2] == BYTECODE or name in REWRITTEN


def _parents(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _status(path: Path | os.DirEntry[str]) -> tuple[int, ...]:
    found = os.lstat(path)
    return (found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns)


def _digest(entry: os.DirEntry[str]) -> bytes:
    """Of a file's content and whether it may be run, or of where a link leads."""
    if entry.is_symlink():
        return b"link " + os.fsencode(Path(entry.path).readlink())
    found = hashlib.sha256(b"run" if entry.stat().st_mode & stat.S_IXUSR else b"")
    with Path(entry.path).open("rb") as file:
        while chunk := file.read(1 << 20):
            found.update(chunk)
    return found.digest()

"""The source tree as one archive: deterministic, so that the same tree has the same digest; unpacked with distrust."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dt_action.errors import ConfigurationError, UnreadableError

MAX_FILES = 200_000
MAX_UNPACKED_BYTES = 4 << 30
MAX_RATIO = 200
"""An archive that grows more than this while it is unpacked is a bomb."""

_SKIPPED = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".venv", "venv", "node_modules", ".tox", ".nox", ".dt_cache", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The archive, its sha256, and where in it the directory lies from which it was asked for ("" for its top)."""

    content: bytes
    digest: str
    directory: str
    files: int


def make_bundle(root: Path) -> Bundle:
    """
    Pack the repository that `root` is in: what git tracks, and what it neither tracks nor ignores.

    Outside a repository, everything below `root` but caches and virtual environments. Raises ConfigurationError
    where a file cannot be read.
    """
    top = _repository(root)
    names = sorted(set(_known_to_git(top) if top else _walked(root)))
    base = top or root
    packed = io.BytesIO()
    count = 0
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in names:
            count += _add(archive, base, name)
    content = packed.getvalue()
    directory = root.resolve().relative_to(base.resolve()).as_posix()
    return Bundle(
        content=content,
        digest=hashlib.sha256(content).hexdigest(),
        directory="" if directory == "." else directory,
        files=count,
    )


def pack_files(files: Iterable[Path], archive: Path) -> str:
    """Pack plain files, each under its own name, into `archive`, for `unpack` to unpack; its sha256."""
    with tarfile.open(archive, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as packed:
        for path in files:
            packed.add(path, arcname=path.name, recursive=False)
    with archive.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """
    Unpack into `target`, which must not exist yet.

    Raises UnreadableError for anything but plain files, directories and links that stay inside, for a path that
    leaves `target`, and for more files or bytes than a source tree has.
    """
    packed_bytes = max(archive.stat().st_size, 1)
    target.mkdir(parents=True)
    total = 0
    try:
        with tarfile.open(archive, mode="r:gz") as opened:
            links: list[tarfile.TarInfo] = []
            for count, member in enumerate(opened, start=1):
                total += member.size
                if count > MAX_FILES or total > min(MAX_UNPACKED_BYTES, max(1 << 24, packed_bytes * MAX_RATIO)):
                    raise UnreadableError(f"the bundle holds too much: {count} files, {total} bytes so far")
                path = target / _checked(member.name)
                if member.issym():
                    links.append(member)  # last, so that no file is written through one
                elif member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                elif member.isreg():
                    _write(opened, member, path)
                else:
                    raise UnreadableError(f"the bundle holds {member.name!r}, which is no file, directory or link")
            for member in links:
                _link(member, target)
    except (tarfile.TarError, EOFError, OSError, ValueError, gzip.BadGzipFile) as error:
        raise UnreadableError(f"the bundle cannot be unpacked: {error}") from error


def _repository(root: Path) -> Path | None:
    done = _git(root, "rev-parse", "--show-toplevel")
    return Path(os.fsdecode(done).rstrip("\n")) if done else None


def _known_to_git(top: Path) -> Iterator[str]:
    listed = _git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split(b"\0"):
        if name:
            yield os.fsdecode(name)


def _git(directory: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(directory), *words], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""


def _walked(root: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in files:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _add(archive: tarfile.TarFile, base: Path, name: str) -> int:
    """Add a file or link with nothing in its header that differs from machine to machine; 0 for one that is gone."""
    path = base / name
    info = tarfile.TarInfo(PurePosixPath(Path(name)).as_posix())
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            aim = path.readlink().as_posix()
            if aim.startswith("/") or os.path.normpath(PurePosixPath(info.name).parent / aim).startswith(".."):
                return 0  # it leads out of the tree, to what no other machine has
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, aim, 0o777
            archive.addfile(info)
        elif stat.S_ISREG(mode):
            content = path.read_bytes()
            info.size, info.mode = len(content), 0o755 if mode & stat.S_IXUSR else 0o644
            archive.addfile(info, io.BytesIO(content))
        else:
            return 0  # a submodule's folder, a socket
    except FileNotFoundError:
        return 0  # tracked, and deleted from the working tree
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}", hint="make it readable, or let git ignore it"
        ) from error
    return 1


def _checked(name: str) -> str:
    """The name, when it stays inside: relative, without `..`, of this platform's letters."""
    parts = PurePosixPath(name).parts
    is_outside = name.startswith(("/", "\\")) or ".." in parts or not parts
    if is_outside or "\0" in name or (os.name == "nt" and (":" in name or "\\" in name)):
        raise UnreadableError(f"the bundle holds the path {name!r}, which leads out of it")
    return name


def _write(opened: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = opened.extractfile(member)
    if source is None:
        raise UnreadableError(f"the bundle holds {member.name!r} without content")
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as file:
        while chunk := source.read(1 << 20):
            file.write(chunk)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _link(member: tarfile.TarInfo, target: Path) -> None:
    path = target / member.name
    aim = member.linkname
    inside = os.path.normpath(PurePosixPath(member.name).parent / aim)
    if aim.startswith(("/", "\\")) or inside.startswith(".."):
        raise UnreadableError(f"the bundle's link {member.name!r} leads out of it, to {aim!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    parent = path.parent.resolve()
    aimed = Path(os.path.realpath(parent / aim))  # which a link to itself is for no error
    if not parent.is_relative_to(target.resolve()) or not aimed.is_relative_to(target.resolve()):
        raise UnreadableError(f"the bundle's link {member.name!r} leads out of it, to {aim!r}")
    path.symlink_to(aim)

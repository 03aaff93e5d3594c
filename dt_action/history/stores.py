"""Where records are kept: a directory that many runs write to at once, or one file that a CI job hands on."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dt_action.errors import UnreadableError
from dt_action.history.codec import decode, encode
from dt_action.history.past import KnownPast
from dt_action.history.records import RunRecord, merged, records_of
from dt_action.model.run import Run
from dt_action.workspace.caches import make_folder

MOST_BYTES = 64 << 20
"""A larger file is not ours, and what we write is cut to it, the oldest runs first."""

COMPACT_FROM = 10
"""A directory with so many files has them merged into one."""

MOST_FILES = 10_000
_LOOKS = 5

Warn = Callable[[str], None]


def warn_by_default(text: str) -> None:
    """Where nobody else listens: as Python warns."""
    warnings.warn(text, stacklevel=3)


class Store(Protocol):
    """What every store can do beside `ports.History`."""

    def load(self, environment: str = "") -> KnownPast:
        """See `ports.History`; `environment` names the leg of a matrix."""

    def record(self, run: Run, recorded: str = "") -> None:
        """See `ports.History`."""


def history_at(path: Path, *, warn: Warn = warn_by_default) -> Store:
    """The store at a path: a file where its name ends in `.json`, else a directory."""
    return FileHistory(path, warn) if path.suffix == ".json" else DirectoryHistory(path, warn)


@dataclass(frozen=True, slots=True)
class DirectoryHistory:
    """
    A history in a directory: each run adds a file of its own, so that no writer can lose another one's.

    A writer that finds many files merges them: it writes the merged file first and then removes what went into it.
    Two that do so at once write the same runs twice, which a merge does not mind. Foreign files are left alone.
    """

    path: Path
    warn: Warn = warn_by_default

    def load(self, environment: str = "") -> KnownPast:
        """See `ports.History`."""
        return KnownPast(merged(*self._contents().values()), environment)

    def record(self, run: Run, recorded: str = "") -> None:
        """See `ports.History`."""
        try:
            make_folder(self.path)
            _write_whole(self.path, encode(records_of(run, recorded)))
            if sum(1 for _ in self._files()) >= COMPACT_FROM:
                self._compact(self._contents())
        except OSError as error:
            self.warn(f"the history could not be kept in {self.path}: {error}")

    def _compact(self, contents: dict[Path, tuple[RunRecord, ...]]) -> None:
        whole = _write_whole(self.path, bounded(merged(*contents.values())))
        for path in contents:
            if path != whole:
                path.unlink(missing_ok=True)

    def _contents(self) -> dict[Path, tuple[RunRecord, ...]]:
        """
        The records by file.

        A file that vanishes while we read was merged into one that our listing may lack: look again.
        """
        contents: dict[Path, tuple[RunRecord, ...]] = {}
        unreadable: dict[Path, str] = {}
        for _ in range(_LOOKS):
            is_steady = True
            for path in self._files():
                if path in contents or path in unreadable:
                    continue
                try:
                    contents[path] = _read(path)
                except FileNotFoundError:
                    is_steady = False
                except (OSError, UnreadableError) as error:
                    unreadable[path] = str(error)
            if is_steady:
                break
        for path, reason in unreadable.items():
            self.warn(f"the history in {path} is left out of account: {reason}")
        return contents

    def _files(self) -> Iterator[Path]:
        try:
            names = sorted(path for path in self.path.iterdir() if path.suffix == ".json")
        except FileNotFoundError:
            return
        except OSError as error:
            self.warn(f"the history in {self.path} cannot be read: {error}")
            return
        yield from names[:MOST_FILES]


@dataclass(frozen=True, slots=True)
class FileHistory:
    """
    A history in one file, to be handed on as an artifact. It is replaced as a whole, merged with what it held.

    Of two writers at the very same moment one can lose its run; several at once should share a directory.
    """

    path: Path
    warn: Warn = warn_by_default

    def load(self, environment: str = "") -> KnownPast:
        """See `ports.History`."""
        try:
            return KnownPast(merged(_read(self.path)), environment)
        except FileNotFoundError:
            return KnownPast(environment=environment)
        except (OSError, UnreadableError) as error:
            self.warn(f"the history in {self.path} is left out of account: {error}")
            return KnownPast(environment=environment)

    def record(self, run: Run, recorded: str = "") -> None:
        """See `ports.History`."""
        records = merged(self.load().records, records_of(run, recorded))
        try:
            make_folder(self.path.parent)
            _write_whole(self.path.parent, bounded(records), self.path.name)
        except OSError as error:
            self.warn(f"the history could not be kept in {self.path}: {error}")


def _read(path: Path) -> tuple[RunRecord, ...]:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UnreadableError(f"expected at most {MOST_BYTES:,} bytes, found {size:,}")
    return decode(path.read_bytes())


def bounded(records: tuple[RunRecord, ...]) -> bytes:
    """The records as bytes, without the oldest ones that do not fit; the newest always stays."""
    content = encode(records)
    while len(content) > MOST_BYTES and len(records) > 1:
        records = records[: len(records) // 2]
        content = encode(records)
    return content


def _write_whole(folder: Path, content: bytes, name: str = "") -> Path:
    """Write a file whole or not at all; it is named by its content where it has no name, so equal ones are one."""
    path = folder / (name or f"{hashlib.sha256(content).hexdigest()[:24]}.json")
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).chmod(0o644)  # a later step, such as one that uploads it, may be another user's
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return path

"""Content by its sha256 on the disk: taken in only when it is what its name says, and never on the event loop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import threading
import time
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.writer import RefusalError

_DIGEST = re.compile(r"[0-9a-f]{64}")

PIECE_BYTES = 1 << 20
"""So much is gathered before a thread hashes and writes it."""


def checked_digest(text: str) -> str:
    """`text` when it is a sha256 in lower-case hexadecimal; anything else could be a path."""
    if not _DIGEST.fullmatch(text):
        raise RefusalError(422, "expected a sha256 of 64 hexadecimal digits")
    return text


class Blobs:
    """Files below `root`; a blob appears whole or not at all. `max_total_bytes` bounds all of them together."""

    def __init__(self, root: Path, max_bytes: int, max_total_bytes: int) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.max_bytes, self.max_total_bytes = root, max_bytes, max_total_bytes
        self._lock = threading.Lock()
        self._total = self._measured()

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self.root / checked_digest(digest)[:2] / digest

    def has(self, digest: str) -> bool:
        """True where the blob is here; it counts as used now. Looks at the disk."""
        with contextlib.suppress(OSError):
            os.utime(self.path(digest))
            return True
        return False

    async def take_in(self, digest: str, chunks: AsyncIterator[bytes]) -> int:
        """Write what comes; its size. Raises RefusalError when it is too large, or not what its digest says."""
        path = self.path(digest)
        draft = _Draft(self, self.root / f"draft-{secrets.token_hex(8)}")
        try:
            await run_in_threadpool(draft.open)
            piece = bytearray()
            async for chunk in chunks:
                piece += chunk
                if len(piece) >= PIECE_BYTES:
                    await run_in_threadpool(draft.write, piece)
                    piece = bytearray()
            await run_in_threadpool(draft.write, piece)
            await run_in_threadpool(draft.keep_as, path)
            return draft.size
        except OSError as error:
            raise RefusalError(507, f"the blob cannot be kept: {error.strerror}", retry_after_s=10) from error
        finally:
            await run_in_threadpool(draft.discard)

    def reserve(self, size: int) -> None:
        """Count bytes that are about to be written. Raises RefusalError where there is no room for them."""
        with self._lock:
            if self._total + size > self.max_total_bytes:
                raise RefusalError(
                    507, "the blobs have as much space as they may", hint="try again later, or raise the limit"
                )
            self._total += size

    def release(self, size: int) -> None:
        """Bytes that were counted are gone again."""
        with self._lock:
            self._total -= size

    @property
    def total_bytes(self) -> int:
        """What all blobs take, those included that are on their way in."""
        return self._total

    def remove(self, digest: str) -> None:
        """A blob that nobody may have any more."""
        path = self.path(digest)
        with contextlib.suppress(OSError):
            size = path.stat().st_size
            path.unlink()
            self.release(size)

    def collect_garbage(self, needed: Collection[str], *, older_than_s: float) -> list[str]:
        """Remove blobs that no run needs and that nobody asked for in a while; their digests."""
        oldest = time.time() - older_than_s
        removed = []
        for path in self.root.glob("??/*"):
            with contextlib.suppress(OSError):
                if path.name not in needed and path.stat().st_mtime < oldest:
                    self.remove(path.name)
                    removed.append(path.name)
        for path in self.root.glob("draft-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
        return removed

    def _measured(self) -> int:
        """What lies there; drafts are those of a process that was killed."""
        for draft in self.root.glob("draft-*"):
            draft.unlink(missing_ok=True)
        return sum(path.stat().st_size for path in self.root.glob("??/*") if path.is_file())


class _Draft:
    """A blob on its way in. All of its methods wait for the disk."""

    def __init__(self, blobs: Blobs, path: Path) -> None:
        self.size = 0
        self._blobs, self._path = blobs, path
        self._found = hashlib.sha256()
        self._file: int | None = None
        self._is_kept = False

    def open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)

    def write(self, piece: bytes | bytearray) -> None:
        assert self._file is not None  # noqa: S101 - it was opened
        if self.size + len(piece) > self._blobs.max_bytes:
            raise RefusalError(413, f"a blob may have at most {self._blobs.max_bytes:,} bytes")
        self._blobs.reserve(len(piece))
        self.size += len(piece)
        self._found.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._file, view) :]

    def keep_as(self, path: Path) -> None:
        assert self._file is not None  # noqa: S101 - it was opened
        if self._found.hexdigest() != path.name:
            raise RefusalError(422, f"the content's sha256 is {self._found.hexdigest()}, not {path.name}")
        os.fsync(self._file)
        self._close()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        had = path.stat().st_size if path.is_file() else 0
        self._path.replace(path)
        self._is_kept = True
        self._blobs.release(had)

    def discard(self) -> None:
        self._close()
        if not self._is_kept:
            self._path.unlink(missing_ok=True)
            self._blobs.release(self.size)

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

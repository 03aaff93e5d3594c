"""Source bundles by the sha256 of their content: taken in only when the content is what its name says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

from dt_action.coordinator.writer import RefusalError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def checked_digest(text: str) -> str:
    """`text` when it is a sha256 in lower-case hexadecimal; anything else could be a path."""
    if not _DIGEST.fullmatch(text):
        raise RefusalError(422, "expected a sha256 of 64 hexadecimal digits")
    return text


@dataclass(frozen=True, slots=True)
class Blobs:
    """Files below `root`; a blob appears whole or not at all. `max_total_bytes` bounds all of them together."""

    root: Path
    max_bytes: int
    max_total_bytes: int

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be."""
        return self.root / checked_digest(digest)[:2] / digest

    def has(self, digest: str) -> bool:
        """True where the blob is here; it counts as used now."""
        path = self.path(digest)
        with contextlib.suppress(OSError):
            os.utime(path)
            return True
        return False

    async def take_in(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Write what comes. Raises RefusalError when it is too large, or not what its digest says."""
        path = self.path(digest)
        if self.total_bytes() > self.max_total_bytes:
            raise RefusalError(
                507, "the blobs have as much space as they may", hint="try again later, or raise the limit"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / f"draft-{secrets.token_hex(8)}"
        found, size = hashlib.sha256(), 0
        try:
            with draft.open("xb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.max_bytes:
                        raise RefusalError(413, f"a blob may have at most {self.max_bytes:,} bytes")
                    found.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if found.hexdigest() != digest:
                raise RefusalError(422, f"the content's sha256 is {found.hexdigest()}, not {digest}")
            draft.replace(path)
        except OSError as error:
            raise RefusalError(507, f"the blob cannot be kept: {error.strerror}", retry_after_s=10) from error
        finally:
            draft.unlink(missing_ok=True)

    def total_bytes(self) -> int:
        """What all blobs take."""
        return sum(path.stat().st_size for path in self.root.glob("??/*") if path.is_file())

    def collect_garbage(self, needed: Collection[str], *, older_than_s: float) -> int:
        """Remove blobs that no run needs and that nobody asked for in a while; how many."""
        oldest = time.time() - older_than_s
        removed = 0
        for path in self.root.glob("??/*"):
            with contextlib.suppress(OSError):
                if path.name not in needed and path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
        for path in self.root.glob("draft-*"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
        return removed

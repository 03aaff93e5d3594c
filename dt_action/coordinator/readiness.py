"""Whether the coordinator can do its work: it writes to the database and to the data directory, and says what fails."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

KEPT_S = 2.0
"""An answer is good so long: anybody may ask, and each look writes to the disk."""

PATIENCE_S = 5.0


class Readiness:
    """Asks both, at most every `KEPT_S`. `write` has the one writer write something to the database."""

    def __init__(self, directory: Path, write: Callable[[], Awaitable[object]]) -> None:
        self._directory = directory
        self._write = write
        self._reason = ""
        self._asked_at = float("-inf")
        self._asking: asyncio.Future[str] | None = None

    async def reason(self) -> str:
        """Why it is not ready; empty where it is."""
        if time.monotonic() - self._asked_at < KEPT_S:
            return self._reason
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._look())
            self._asking.add_done_callback(self._keep)
        return await asyncio.shield(self._asking)

    def _keep(self, done: asyncio.Future[str]) -> None:
        self._asking = None
        if not done.cancelled():
            self._reason, self._asked_at = done.result(), time.monotonic()

    async def _look(self) -> str:
        try:
            await asyncio.wait_for(self._write(), PATIENCE_S)
        except Exception as error:
            return f"the database cannot be written to ({type(error).__name__})"
        try:
            await asyncio.wait_for(asyncio.to_thread(_write_to, self._directory), PATIENCE_S)
        except Exception as error:
            return f"the data directory cannot be written to ({type(error).__name__})"
        return ""


def _write_to(directory: Path) -> None:
    path = directory / "readiness"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, f"{time.time():.0f}\n".encode())
        os.fsync(handle)
    finally:
        os.close(handle)

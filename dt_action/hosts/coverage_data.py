"""Coverage data of slots that are no processes of this machine, brought to a folder here."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from dt_action.errors import UnreadableError
from dt_action.remote.wire import MAX_COVERAGE_BYTES

DATA_NAME = ".coverage"
"""How the names of data files begin; coverage.py appends a suffix for each process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageData:
    """
    `folder` holds the data files that were brought here.

    `workspaces` are the directories where the project lay when they were measured, in their machines' spelling.
    """

    folder: Path
    workspaces: set[str] = field(default_factory=set)

    def take(self, archive: Iterable[bytes], workspace: str) -> None:
        """
        Take the data files out of a tar archive, which comes in pieces, under new names.

        Anything but a plain file with the name of a data file is left out: tests may have written into the archive's
        folder. Raises UnreadableError for what is no archive, or holds more than a slot may measure.
        """
        self.workspaces.add(workspace)
        left = MAX_COVERAGE_BYTES
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Pieces(archive)), mode="r|*") as opened:
                for member in opened:
                    source = opened.extractfile(member) if member.isreg() else None
                    if source is None or not Path(member.name).name.startswith(f"{DATA_NAME}."):
                        continue
                    left -= member.size
                    if left < 0:
                        raise UnreadableError(f"the coverage data is larger than {MAX_COVERAGE_BYTES:,} bytes")
                    with tempfile.NamedTemporaryFile(prefix=f"{DATA_NAME}.", dir=self.folder, delete=False) as file:
                        while chunk := source.read(1 << 20):
                            file.write(chunk)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise UnreadableError(f"the coverage data cannot be unpacked: {error}") from error


class _Pieces:
    """What comes piece by piece, as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes; fewer at the end."""
        while len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._rest += piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

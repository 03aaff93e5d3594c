"""The parts of a machine that probes look at: files, commands, variables. Tests put a made-up machine in its place."""

from __future__ import annotations

import platform as host
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class System:
    """A machine. `root` is where its file system begins, `platform` Python's word for its kind."""

    environ: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path("/")
    platform: str = sys.platform
    machine: str = field(default_factory=host.machine)

    def read(self, path: str) -> str:
        """The text of a file, "" where it cannot be read."""
        try:
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def glob(self, pattern: str) -> list[Path]:
        """The files that match, in order."""
        try:
            return sorted(self.root.glob(pattern.lstrip("/")))
        except OSError:
            return []

    def which(self, command: str) -> bool:
        """True where the command is on the path."""
        return shutil.which(command, path=self.environ.get("PATH")) is not None

    def run(self, command: Sequence[str]) -> str:
        """What a command prints, "" where it is not there, fails or takes too long."""
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_TIMEOUT_S,
                env=dict(self.environ) or None,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return ""
        return done.stdout if done.returncode == 0 else ""

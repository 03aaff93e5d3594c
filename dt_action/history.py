"""What earlier runs say of each test: kept in a file that a CI cache can carry."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dt_action.model.run import Run

VERSION = 1


@dataclass(frozen=True, slots=True)
class KnownPast:
    """Seconds by case id, by file."""

    by_file: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def duration_s(self, case: str) -> float | None:
        """See `ports.Past`."""
        return self.by_file.get(case.partition("::")[0], {}).get(case)

    def cases_of(self, file: str) -> Mapping[str, float]:
        """See `ports.Past`."""
        return self.by_file.get(file, {})


@dataclass(frozen=True, slots=True)
class FileHistory:
    """A history in one JSON file: `{"version": 1, "files": {path: {case id: seconds}}}`."""

    path: Path

    def load(self) -> KnownPast:
        """See `ports.History`. A file that is missing is no surprise; one that is not ours is told of."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["version"] != VERSION:
                raise ValueError(f"version {stored['version']!r}, expected {VERSION}")
            files = {
                str(file): {str(case): float(seconds) for case, seconds in cases.items()}
                for file, cases in stored["files"].items()
            }
        except FileNotFoundError:
            return KnownPast()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            warnings.warn(f"the history in {self.path} is left out of account: {error}", stacklevel=2)
            return KnownPast()
        return KnownPast(files)

    def record(self, run: Run) -> None:
        """
        See `ports.History`. The file is replaced as a whole, so that a reader never sees half of it.

        Files of this run replace what was known of them; a case that did not finish keeps what was known.
        """
        before = self.load().by_file
        files: dict[str, dict[str, float]] = {}
        for result in run.results:
            if result.attempts and result.outcome in ("passed", "failed", "skipped", "xfailed", "xpassed"):
                files.setdefault(result.case.file, {})[result.case.id] = round(result.final.duration_s, 4)
            elif (known := before.get(result.case.file, {}).get(result.case.id)) is not None:
                files.setdefault(result.case.file, {})[result.case.id] = known
        text = json.dumps({"version": VERSION, "files": {**before, **files}}, separators=(",", ":"))
        try:
            self._replace(text)
        except OSError as error:
            warnings.warn(f"the history could not be kept in {self.path}: {error}", stacklevel=2)

    def _replace(self, text: str) -> None:
        folder = self.path.parent
        if not folder.is_dir():
            folder.mkdir(parents=True)
            if folder.name == ".dt_cache":
                (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        handle, name = tempfile.mkstemp(dir=folder, prefix=self.path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(self.path)

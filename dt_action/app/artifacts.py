"""Files that tests left, brought together in the output directory and linked to their tests."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from dt_action.model.case import Artifact, TestResult
from dt_action.model.event import CaseStarted, Event, LeftBehind, Notice, abandon
from dt_action.model.run import Run
from dt_action.options import Settings, secret_values
from dt_action.reports.redaction import Redactor

MOST_BYTES = 1 << 30
"""Of all tests of a run together."""

MOST_MASKED_BYTES = 8 << 20
"""A larger file is no log that somebody reads, and is not searched for secrets."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@dataclass(slots=True)
class Artifacts:
    """
    Takes the files out of a run's events, into `folder` of `output_dir`, which a person knows as `told_as`.

    A test's name, and the names of its files, may be anything: what they become leads nowhere but below the folder.
    Secrets are masked in files of text.
    """

    output_dir: Path
    told_as: str
    folder: str
    redactor: Redactor
    _running: dict[str, str] = field(default_factory=dict)
    _files: dict[str, dict[str, Path]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _bytes: int = 0

    @classmethod
    def from_settings(cls, settings: Settings, environ: Mapping[str, str]) -> Artifacts:
        """For a run that begins now."""
        folder = f"artifacts_{datetime.now():%Y%m%d_%H%M%S}"  # local time, as in the names of the reports
        output_dir = settings.output_dir
        return cls(settings.root / output_dir, output_dir, folder, Redactor(secret_values(settings, environ)))

    def taken_from(self, events: Iterator[Event]) -> Iterator[Event]:
        """The events without the pieces of files; what cannot be written is told with the run."""
        try:
            for event in events:
                if isinstance(event, CaseStarted):
                    self._running[event.slot] = event.case
                if isinstance(event, LeftBehind):
                    with self._telling_trouble():
                        self._take(event)
                else:
                    yield event
        finally:
            abandon(events)

    def linked(self, run: Run) -> Run:
        """The run with the files at the tests that left them."""
        left = {case: tuple(self._artifacts(files)) for case, files in self._files.items()}
        results = tuple(
            replace(result, artifacts=left[result.case.id]) if result.case.id in left else result
            for result in run.results
        )
        notices = tuple(Notice(level="warning", text=note) for note in dict.fromkeys(self._notes))
        return replace(run, results=results, notices=(*run.notices, *notices), output_dir=self.told_as)

    def brought(self, run: Run, folder: Path) -> Run:
        """
        A run of another job, with the files that its tests left brought here from the folder of its report.

        The report may be a stranger's: what it says lies in its folder is taken from there only, and no links are
        followed.
        """
        place = self.folder + hashlib.sha256(str(folder).encode("utf-8", "replace")).hexdigest()[:6]
        results = tuple(
            replace(result, artifacts=tuple(self._copies(result, folder, place))) if result.artifacts else result
            for result in run.results
        )
        notices = tuple(Notice(level="warning", text=note) for note in dict.fromkeys(self._notes))
        self._notes.clear()
        return replace(run, results=results, notices=(*run.notices, *notices), output_dir=self.told_as)

    def _copies(self, result: TestResult, folder: Path, place: str) -> Iterator[Artifact]:
        for artifact in result.artifacts:
            source = folder / artifact.path
            with self._telling_trouble():
                if not source.resolve().is_relative_to(folder.resolve()) or _is_link(source, folder):
                    continue
                size = source.stat().st_size
                self._bytes += size
                if not source.is_file() or self._bytes > MOST_BYTES:
                    self._notes.append(f"files that tests of other jobs left were not taken over: {artifact.name}")
                    continue
                target = self.output_dir / place / folder_of(result.case.id) / safe(artifact.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                yield replace(artifact, path=target.relative_to(self.output_dir).as_posix(), bytes=size)

    def _artifacts(self, files: Mapping[str, Path]) -> Iterator[Artifact]:
        for name, path in sorted(files.items()):
            with self._telling_trouble():
                if path.stat().st_size <= MOST_MASKED_BYTES:
                    self._mask(path)
                place = path.relative_to(self.output_dir).as_posix()
                yield Artifact(name=name, path=place, bytes=path.stat().st_size)

    @contextlib.contextmanager
    def _telling_trouble(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # no file's name holds what a report may claim it does, such as NUL
            self._notes.append(f"files that tests left could not be kept: {getattr(error, 'strerror', '') or error}")

    def _mask(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            return
        masked = self.redactor.value(text)
        if masked != text:
            path.write_bytes(masked.encode("utf-8"))

    def _take(self, event: LeftBehind) -> None:
        case = event.case or self._running.get(event.slot, "")
        if event.note:
            self._notes.append(f"{case or 'a test'}: {event.note}")
        if not event.name or not case:
            return
        try:
            data = base64.b64decode(event.data, validate=True)
        except (binascii.Error, ValueError):
            return
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            self._notes.append(f"tests left more than {MOST_BYTES:,} bytes; the rest was dropped")
            return
        files = self._files.setdefault(case, {})
        name = event.name if event.tries < 2 else f"try {event.tries}/{event.name}"
        path = files.get(name)
        if path is None:
            path = files[name] = self._new(case, name)
        with path.open("wb" if event.is_first else "ab") as file:  # a test that ran again left it anew
            file.write(data)

    def _new(self, case: str, name: str) -> Path:
        # Masked here, for the reports mask it there, too, and link to it.
        path = self.output_dir / self.folder / folder_of(self.redactor.id(case)) / safe(self.redactor.text(name))
        if path.parent.is_file():
            path = path.parent.with_name(f"{path.parent.name}-{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        number, wanted = 1, path
        while path.exists():
            number += 1
            path = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        path.touch()
        return path


def _is_link(path: Path, folder: Path) -> bool:
    """True where a step on the way from the folder to the file is a link."""
    steps = [path, *path.parents]
    return any(step.is_symlink() for step in steps[: steps.index(folder)])


def folder_of(case: str) -> str:
    """The folder of a test: what can be read of its name, and a digest that makes it another one for every test."""
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", case.rpartition("::")[2]).strip("-.")[:60] or "test"
    return f"{readable}-{hashlib.sha256(case.encode('utf-8', 'replace')).hexdigest()[:10]}"


def safe(name: str) -> str:
    """A relative path that leads down only, and that every file system takes."""
    parts = [_UNSAFE.sub("_", part)[:100].rstrip(". ") for part in name.replace("\\", "/").split("/")]
    kept = [f"_{part}" if _RESERVED.fullmatch(part) else part for part in parts if part not in ("", ".", "..")]
    return "/".join(kept[-12:]) or "file"

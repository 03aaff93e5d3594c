"""The account of a run: every file and case, its attempts, and the one final outcome that each case gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dt_action.model.case import Attempt, TestCase
from dt_action.model.hardware import FileNeeds, Requirement
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.slot_protocol import Found


@dataclass(slots=True, kw_only=True)
class Entry:
    """
    A case, how often it was tried, and the workers on which it failed.

    `was_sent_elsewhere` tells that it had skipped itself for want of a device; that was no try.
    """

    case: TestCase
    group: str = ""
    attempts: int = 0
    is_final: bool = False
    failed_on: frozenset[str] = frozenset()
    was_sent_elsewhere: bool = False


class Ledger:
    """Knows each file and case once, whatever slots tell and however often."""

    def __init__(self, plan: Plan, retries: int) -> None:
        self.files: dict[str, PlannedFile] = {file.path: file for file in plan.files}
        self.failures = 0
        self._retries = retries
        self._types = plan.types()
        self._entries: dict[str, Entry] = {}
        self._spanning: set[str] = set()
        self._open_files = set(self.files)
        self._open_parts: dict[str, set[object]] = {}
        self._open_cases = 0

    def __contains__(self, case: str) -> bool:
        return case in self._entries

    def __getitem__(self, case: str) -> Entry:
        return self._entries[case]

    @property
    def is_settled(self) -> bool:
        """True when every file is collected and every case has its final outcome."""
        return not self._open_files and not self._open_cases

    def awaits_only(self, cases: int) -> bool:
        """True where every file is collected, and just so many cases have no final outcome yet."""
        return not self._open_files and self._open_cases == cases

    def open_names(self) -> str:
        """Some of what is neither collected nor final, in words."""
        names = [*sorted(self._open_files), *(id for id, entry in self._entries.items() if not entry.is_final)]
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

    def set_files(self, known: Iterable[str], *, add: bool) -> None:
        """Keep the planned files that are known; with `add`, take in the others too."""
        known = dict.fromkeys(known)
        if add:
            for path in known:
                self.files.setdefault(path, PlannedFile(path=path, needs=FileNeeds(path=path)))
        self.files = {path: self.files[path] for path in known if path in self.files}
        self._open_files = set(self.files)

    def in_order_of(self, known: Iterable[str]) -> list[PlannedFile]:
        """The files, in the order in which they stand in `known`."""
        return [self.files[path] for path in dict.fromkeys(known) if path in self.files]

    def cases_in_order(self) -> list[tuple[str, list[str]]]:
        """Every case, file by file in pytest's order."""
        by_file: dict[str, list[str]] = {path: [] for path in self.files}
        for id, entry in self._entries.items():
            if id != entry.case.file:
                by_file.setdefault(entry.case.file, []).append(id)
        return [(path, cases) for path, cases in by_file.items() if cases]

    def note_groups(self, segments: Iterable[tuple[str, Sequence[Found]]]) -> None:
        """Take note of the groups with cases in several files, before the cases are taken in."""
        files: dict[str, set[str]] = {}
        for path, cases in segments:
            for group in {case.group for case in cases if case.group}:
                files.setdefault(group, set()).add(path)
        self._spanning = {group for group, paths in files.items() if len(paths) > 1}

    def spans(self, group: str) -> bool:
        """True for a group with cases in several files."""
        return group in self._spanning

    def spanning_group_of(self, case: str) -> str:
        """The group of the case, where that has cases in several files; else empty."""
        group = self._entries[case].group
        return group if group in self._spanning else ""

    def may_retry(self, case: str) -> bool:
        """True where the case would be tried again if it failed now."""
        return self._entries[case].attempts < self._retries

    def needs_of(self, file: str) -> FileNeeds:
        """The needs of a file; of nothing, for one that nobody planned."""
        return self.files[file].needs if file in self.files else FileNeeds(path=file)

    def told_type_of(self, file: str) -> str:
        """The test type of a file, for its slot; empty where the whole run is of one type."""
        return self._types.get(file, "")

    def divide(self, file: str, parts: Iterable[object]) -> None:
        """The file is collected part by part."""
        self._open_parts[file] = set(parts)

    def is_divided(self, file: str) -> bool:
        """True for a file that is collected part by part."""
        return file in self._open_parts

    def close_file(self, file: str, part: object = None) -> None:
        """The file's cases are known, or never will be; of one that is divided, those of a part."""
        parts = self._open_parts.get(file)
        if parts is not None:
            parts.discard(part)
        if not parts:
            self._open_files.discard(file)

    def register(self, file: str, found: Sequence[Found]) -> tuple[TestCase, ...]:
        """Take in the cases of a file; returns those told for the first time."""
        planned = self.files.get(file)
        fresh = []
        for item in found:
            if item.id in self._entries:
                continue
            requirement = self.needs_of(file).of(item.id.partition("::")[2])
            case = TestCase(
                id=item.id,
                file=file,
                line=item.line,
                test_type=planned.test_type if planned else "",
                markers=item.marks,
                requirement=requirement,
                timeout_s=requirement.timeout_s,
            )
            is_kept_whole = planned is not None and planned.keeps_whole and item.group not in self._spanning
            group = file if is_kept_whole else item.group
            self._open(Entry(case=case, group=group))
            fresh.append(case)
        return tuple(fresh)

    def register_file(self, id: str) -> TestCase:
        """A file, folder or class as a case of its own: it cannot be collected, run or placed as a whole."""
        if id in self._entries:
            return self._entries[id].case
        file = id.partition("::")[0]
        planned = self.files.get(file)
        case = TestCase(id=id, file=file, test_type=planned.test_type if planned else "")
        self._open(Entry(case=case, attempts=self._retries))
        self.close_file(file)
        return case

    def conclude(self, case: str, attempt: Attempt, *, worker: str = "", final: bool = False) -> bool:
        """Book an attempt; True where the case is to be tried again. A case that is final stays as it is."""
        entry = self._entries[case]
        entry.attempts += 1
        if attempt.is_failing and entry.attempts <= self._retries and not final:
            entry.failed_on |= {worker}
            return True
        self.failures += attempt.is_failing
        self.finish(case)
        return False

    def send_elsewhere(self, entry: Entry, wanted: Requirement) -> None:
        """The case turned out to need more than was known."""
        entry.case = replace(entry.case, requirement=wanted)
        entry.was_sent_elsewhere = True

    def finish(self, case: str) -> None:
        """No further attempt will be booked for the case."""
        if not self._entries[case].is_final:
            self._entries[case].is_final = True
            self._open_cases -= 1

    def _open(self, entry: Entry) -> None:
        self._entries[entry.case.id] = entry
        self._open_cases += 1

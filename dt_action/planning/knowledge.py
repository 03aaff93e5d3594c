"""What earlier runs saw of tests, as far as it still holds: who entered a function, opened a file, listed a folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from dt_action.model.recording import Recording

FOREIGN = "*"
"""Opened by a library's code, which may keep it for anybody."""

PROGRAM = "program"
UNFOLLOWED = frozenset({"child", "network"})
"""Traits of a case that may have run, or read, what nobody saw."""


@dataclass(slots=True)
class Readers:
    """Who depends on a file or folder: single cases, and all tests that reach one of the files `through`."""

    cases: set[str] = field(default_factory=set)
    through: set[str] = field(default_factory=set)


class Knowledge:
    """
    Recordings as one; of each case, all that those have seen for which it is not stale: one run may take another way
    than the next.

    A case that is known but not `followed` may have done what nobody saw.
    """

    def __init__(self) -> None:
        self._by_unit: dict[tuple[str, str], set[str]] = {}
        self._by_file: dict[str, set[str]] = {}
        self._files: set[str] = set()
        self._outside: set[tuple[str, str]] = set()
        self._kept: dict[tuple[str, str], set[str]] = {}
        self._readers: dict[tuple[str, str], Readers] = {}
        self._unfollowed: set[str] = set()
        self._with_programs: set[str] = set()
        self._expected: dict[str, set[str]] = {}
        self._cases: dict[str, set[str]] = {}

    def add(self, recorded: Recording, *, stale: Collection[str] = (), arguments: str = "") -> None:
        """
        Take in a recording.

        `stale` are cases and files of which it no longer tells the truth; `arguments` are pytest's now: the cases that
        those of the recording left out are left out again where they are the same.
        """
        if not recorded.has_units:
            return
        left_out = recorded.left_out if recorded.arguments == arguments else frozenset()
        self._expect(recorded, left_out)
        self._files.update(file for file, _ in recorded.units)
        self._add_lasting(recorded)
        fresh = {case for case in recorded.cases if case not in stale and case.partition("::")[0] not in stale}
        users: dict[str, list[str]] = {}
        for case in fresh:
            seen = recorded.cases[case]
            traits = seen.traits | (
                recorded.traits & UNFOLLOWED
            )  # a program that ran before all tests told them nothing
            units = set(seen.units)
            for fixture in _all_of(seen.fixtures, recorded):
                users.setdefault(fixture, []).append(case)
                shared = recorded.fixtures.get(fixture)
                if shared is not None:
                    units |= shared.units
                    traits |= shared.traits
            if not traits.isdisjoint(UNFOLLOWED):
                self._unfollowed.add(case)
            if PROGRAM in traits:
                self._with_programs.add(case)
            self._cases.setdefault(case.partition("::")[0], set()).add(case)
            for number in units:
                unit = recorded.units[number]
                self._by_unit.setdefault(unit, set()).add(case)
                self._by_file.setdefault(unit[0], set()).add(case)
        for path, how, by, who in recorded.inputs:
            readers = self._readers.setdefault((path, how), Readers())
            if not who:
                readers.through.add(by)
            elif who in users:
                readers.cases.update(users[who])
            elif who in fresh:
                readers.cases.add(who)
            elif who not in recorded.cases:
                readers.through.add(by)

    def _expect(self, recorded: Recording, left_out: Collection[str]) -> None:
        """The newest recording of a file says which cases it has."""
        of_files: dict[str, set[str]] = {}
        for case in (*recorded.cases, *recorded.collected, *recorded.left_out):
            of_files.setdefault(case.partition("::")[0], set()).add(case)
        for file, cases in of_files.items():
            self._expected.setdefault(file, set()).update(cases.difference(left_out))

    def __bool__(self) -> bool:
        return bool(self._cases)

    @property
    def files(self) -> Collection[str]:
        """The test files of which something is known."""
        return self._cases.keys()

    def cases(self, file: str) -> Collection[str]:
        """The known cases of a test file."""
        return self._cases.get(file, ())

    def unknown(self, file: str, *, reads: bool = False) -> Collection[str] | None:
        """
        The cases of a test file of which not everything is known; None where that is all there is to say of it.

        With `reads` also those that started a program which runs no Python of ours, but may read any file.
        """
        known = self._cases.get(file)
        if not known:
            return None
        unseen = self._expected.get(file, known) - known
        return unseen | (known & self._unfollowed) | (known & self._with_programs if reads else set())

    def entered(self, unit: tuple[str, str]) -> Collection[str]:
        """The cases that entered a function."""
        return self._by_unit.get(unit, ())

    def entered_in(self, file: str) -> Collection[str]:
        """The cases that entered a function of a file."""
        return self._by_file.get(file, ())

    def has_run(self, file: str) -> bool:
        """True where a file was seen to run; where not, tests may import an installed copy of it."""
        return file in self._files

    def is_outside(self, unit: tuple[str, str]) -> bool:
        """True where a function also ran outside of tests."""
        return unit in self._outside

    def _add_lasting(self, recorded: Recording) -> None:
        self._outside.update(recorded.units[number] for number in recorded.outside)
        for home, numbers in recorded.kept.items():
            for number in numbers:
                self._kept.setdefault(recorded.units[number], set()).add(home)

    def kept_in(self, unit: tuple[str, str]) -> Collection[str]:
        """The files in whose modules something is kept that a function had a part in."""
        return self._kept.get(unit, ())

    def readers(self, path: str) -> Readers:
        """Who opened a file."""
        return self._readers.get((path, "open"), Readers())

    def listers(self, path: str) -> Readers:
        """Who listed a folder that a file lies in."""
        found = Readers()
        folder = path.rpartition("/")[0]
        while True:
            told = self._readers.get((folder or ".", "list"))
            if told is not None:
                found.cases |= told.cases
                found.through |= told.through
            folder, _, last = folder.rpartition("/")
            if not folder and not last:
                return found
            if not folder:
                return found


def _all_of(fixtures: Iterable[str], recorded: Recording) -> Iterable[str]:
    """Fixtures, and those that they use themselves."""
    found: dict[str, None] = {}
    waiting = [*fixtures]
    while waiting:
        fixture = waiting.pop()
        if fixture not in found:
            found[fixture] = None
            known = recorded.fixtures.get(fixture)
            waiting += known.fixtures if known else ()
    return found

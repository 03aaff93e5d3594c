"""Expected durations to an order: which files start first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from dt_action.model.case import TestFile
from dt_action.model.hardware import ACCELERATORS, FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.ports import Past

BYTES_PER_SECOND = 20_000
"""A guess for a file that was never run: long files take longer. Only the order matters."""


def make_plan(
    files: Sequence[TestFile],
    needs: Mapping[str, FileNeeds],
    past: Past,
    *,
    file_bytes: Mapping[str, int],
    is_selection: bool = False,
    first: Collection[str] = (),
) -> Plan:
    """
    Put the files in the order in which they should start, the longest expected first, ties by path.

    A file of an earlier run counts as the sum of its cases; one that is new counts by its size in `file_bytes`,
    scaled so that the known files agree with theirs. Files in `first` come before all others.
    """
    known = {file.path: cases for file in files if (cases := dict(past.cases_of(file.path)))}
    whole, single = past.kept_whole(), past.single_fixtures()
    rate = _seconds_per_byte(known, file_bytes)
    planned = [
        PlannedFile(
            path=file.path,
            needs=needs.get(file.path) or FileNeeds(path=file.path),
            test_type=file.test_type,
            expected_s=sum(known[file.path].values()) if file.path in known else file_bytes.get(file.path, 0) * rate,
            is_measured=file.path in known,
            cases_s=known.get(file.path, {}),
            goes_first=file.path in first,
            keeps_whole=file.path in whole,
            single=tuple(sorted(fixture for fixture, paths in single.items() if file.path in paths)),
        )
        for file in files
    ]
    ordered = tuple(sorted(planned, key=lambda file: (not file.goes_first, -file.expected_s, file.path)))
    return Plan(files=ordered, is_selection=is_selection)


def for_hardware(
    files: Sequence[TestFile], needs: Mapping[str, FileNeeds], hardware: Sequence[str]
) -> Sequence[TestFile]:
    """The files that hold a test which needs one of the kinds; `cpu` stands for tests that need no accelerator."""
    if not hardware or "all" in hardware:
        return files

    asked = set(hardware)

    def fits(file: TestFile) -> bool:
        of_file = needs.get(file.path, FileNeeds(path=file.path))
        return any(_runs_on(requirement.kinds, asked) for requirement in (of_file.default, *of_file.cases.values()))

    return [file for file in files if fits(file)]


def _runs_on(kinds: frozenset[str], asked: set[str]) -> bool:
    accelerators = kinds & ACCELERATORS
    if not accelerators and "cpu" in asked:
        return True
    either_is_any_gpu = ("gpu" in asked and accelerators) or ("gpu" in kinds and asked & ACCELERATORS)
    return bool(kinds & asked or either_is_any_gpu)


def _seconds_per_byte(known: Mapping[str, Mapping[str, float]], file_bytes: Mapping[str, int]) -> float:
    size = sum(file_bytes.get(path, 0) for path in known)
    seconds = sum(sum(cases.values()) for cases in known.values())
    return seconds / size if size and seconds else 1 / BYTES_PER_SECOND

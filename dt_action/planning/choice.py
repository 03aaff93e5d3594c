"""What of a project is to run, with the reason for each file; and the choice of what failed last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dt_action.model.case import TestFile
from dt_action.model.change import Chosen, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """
    The files to run and why. Where `cases` has a file, only these of its cases (by id) are to be run.

    `is_whole` tells that nothing was left out, so that tests which no discovery sees are to be run, too.
    """

    files: tuple[TestFile, ...]
    told: Selection
    cases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """True where nothing was left out."""
        return not self.told.left_out and not self.cases and bool(self.files)


def only_failed(files: Sequence[TestFile], failed: Collection[str]) -> Choice:
    """The cases whose newest outcome is a failure; a file that could not be collected is run as a whole."""
    by_file: dict[str, list[str]] = {}
    for case in sorted(failed):
        by_file.setdefault(case.partition("::")[0], []).append(case)

    def why(path: str) -> str:
        cases = by_file.get(path, ())
        if path in cases:
            return "could not be collected before"
        return f"{len(cases)} of its tests failed before" if cases else ""

    cases = {path: tuple(cases) for path, cases in by_file.items() if path not in cases}
    choice = _choose(files, why, asked="--only-failed")
    kept = {file.path for file in choice.files}
    return Choice(
        files=choice.files, told=choice.told, cases={path: ids for path, ids in cases.items() if path in kept}
    )


def _choose(files: Sequence[TestFile], why: Callable[[str], str], *, asked: str) -> Choice:
    chosen, left_out, kept = [], [], []
    for file in files:
        reason = why(file.path)
        if reason:
            kept.append(file)
            chosen.append(Chosen(path=file.path, reason=reason))
        else:
            left_out.append(file.path)
    return Choice(files=tuple(kept), told=Selection(asked=asked, chosen=tuple(chosen), left_out=tuple(left_out)))

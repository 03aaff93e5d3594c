"""What a run says against earlier ones: its baseline, the failures that are known, and why tests were chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dt_action.model.case import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """
    What a baseline knows of a case: its last outcome there, and the seconds of its passing executions, in any order.

    `commit` is the commit of that outcome, empty where it is not known.
    """

    outcome: Outcome
    durations_s: tuple[float, ...] = ()
    commit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """
    What a run is compared with: `before` by the id of a result.

    `expected` are the cases of the nearest earlier code, of which a missing one was removed. `against` is for people.
    `commit` is that code's, empty where the baseline is whatever ran before.
    """

    against: str
    commit: str = ""
    before: Mapping[str, Before] = field(default_factory=dict)
    expected: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slower:
    """A case that took longer than before, by more than noise. `before_s` is the median of earlier executions."""

    id: str
    before_s: float
    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyRate:
    """How often a case was flaky: in `flaky` of its last `runs` runs it failed and passed on the same code."""

    id: str
    flaky: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    What this run changed against its baseline, by the ids of results. Only cases that ran here are compared.

    `against` names the baseline for people; it is empty where there is none, and then nothing is compared.
    `commit` is the baseline's, empty where it is whatever ran before. Only a run of everything tells of removed tests.
    """

    against: str = ""
    commit: str = ""
    new_failures: tuple[str, ...] = ()
    still_failing: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    new_tests: tuple[str, ...] = ()
    removed_tests: tuple[str, ...] = ()
    newly_skipped: tuple[str, ...] = ()
    slower: tuple[Slower, ...] = ()


BY_A_PLUGIN = "a plugin or conftest ended pytest with status 0"
"""Why a failing result is tolerated where the project itself lets its pytest end green."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerated:
    """A failing result that does not fail the run, and why; `owner` and `issue` come from its quarantine."""

    id: str
    reason: str
    owner: str = ""
    issue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """The owners of a file, as CODEOWNERS names them."""

    path: str
    owners: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """
    A test file that a selection took, and the reason: `imports dt/a.py, which changed`.

    Where only some of its cases were taken, `cases` are these, each with its own reason.
    """

    path: str
    reason: str
    cases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    A choice of tests: what was asked for, in words, the files taken, and those left out.

    `why_left_out` is a reason for all of the latter.
    """

    asked: str
    chosen: tuple[Chosen, ...] = ()
    left_out: tuple[str, ...] = ()
    why_left_out: str = ""

    def why_not(self, path: str) -> str:
        """Why a file was left out."""
        return self.why_left_out or "not chosen by " + self.asked

    def after(self, first: Selection) -> Selection:
        """Both choices as one: this one was made of the files that `first` took."""
        reasons = {item.path: item.reason for item in first.chosen}
        return Selection(
            asked=f"{first.asked} {self.asked}",
            chosen=tuple(Chosen(path=item.path, reason=f"{reasons[item.path]}; {item.reason}") for item in self.chosen),
            left_out=(*first.left_out, *self.left_out),
            why_left_out="; ".join(filter(None, (first.why_left_out, self.why_left_out))),
        )

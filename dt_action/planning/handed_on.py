"""A plan in a file, which one job hands on to others: what they all cut, whatever each of them remembers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dt_action.errors import UnreadableError
from dt_action.model.case import TestFile
from dt_action.model.change import Selection
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Plan
from dt_action.planning.choice import Choice
from dt_action.planning.cut import Weight

VERSION = 1
MOST_BYTES = 256 << 20
LARGE_PART = 100
"""Of a file that takes a hundredth of the plan, the cases are named, since it may be cut inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedFile:
    """A file with the milliseconds that it may take: all of it, and single cases by id. See `PlannedFile.chosen`."""

    path: str
    expected_ms: int
    cases_ms: Mapping[str, int] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedPlan:
    """
    A plan as one job hands it on. `ms_per_case` is what a test of a file that is not in it may take.

    `selection` tells which files were left out, and why the others were not.
    """

    files: tuple[HandedFile, ...]
    ms_per_case: int
    selection: Selection | None = None

    def choice(self, files: Sequence[TestFile]) -> Choice | None:
        """What its selection leaves of `files`; one that it does not know stays. None where it is no selection."""
        if self.selection is None:
            return None
        left_out = set(self.selection.left_out)
        kept = tuple(file for file in files if file.path not in left_out)
        paths = {file.path for file in kept}
        told = Selection(
            asked=self.selection.asked,
            chosen=tuple(item for item in self.selection.chosen if item.path in paths),
            left_out=tuple(file.path for file in files if file.path in left_out),
        )
        return Choice(files=kept, told=told, cases={file.path: file.chosen for file in self.files if file.chosen})

    def weights(self, counted: Mapping[str, int], least_ms: int) -> dict[str, Weight]:
        """The weights of files of which `counted` has about how many cases they hold."""
        known = {file.path: file for file in self.files}
        weights = {}
        for path, cases in counted.items():
            file = known.get(path)
            if file is None:
                weights[path] = Weight(units=cases * self.ms_per_case, least=least_ms)
            else:
                weights[path] = Weight(units=file.expected_ms, least=least_ms, cases=file.cases_ms)
        return weights


def handed_on(plan: Plan, counted: Mapping[str, int]) -> HandedPlan:
    """What is handed on of a plan; `counted` has about how many cases its files hold."""
    total_s = plan.expected_s
    measured = [file for file in plan.files if file.is_measured]
    known_cases = sum(len(file.cases_s) for file in measured)
    known_s = sum(file.expected_s for file in measured)
    ms_per_case = max(1, round(1000 * known_s / known_cases)) if known_cases else 1000
    return HandedPlan(
        files=tuple(
            HandedFile(
                path=file.path,
                expected_ms=max(
                    1, round(1000 * file.expected_s) if file.is_measured else ms_per_case * counted[file.path]
                ),
                cases_ms={id: max(1, round(1000 * seconds)) for id, seconds in sorted(file.cases_s.items())}
                if file.is_measured and file.expected_s * LARGE_PART >= total_s
                else {},
                chosen=file.chosen,
            )
            for file in sorted(plan.files, key=lambda file: file.path)
        ),
        ms_per_case=ms_per_case,
        selection=plan.selection,
    )


def write(plan: HandedPlan) -> bytes:
    """The plan as JSON, one file a line, so that it can be kept in a repository and compared."""
    head = {key: value for key, value in to_jsonable(plan).items() if key != "files"}
    files = ",\n  ".join(json.dumps(to_jsonable(file)) for file in plan.files)
    return f'{json.dumps({"version": VERSION, **head})[:-1]}, "files": [\n  {files}\n]}}\n'.encode("ascii")


def read(content: bytes, *, source: str) -> HandedPlan:
    """The plan that `write` was given. Raises UnreadableError."""
    if len(content) > MOST_BYTES:
        raise UnreadableError(f"{source}: expected at most {MOST_BYTES:,} bytes, found {len(content):,}")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{source}: expected a plan of dt, found something else ({error})") from None
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise UnreadableError(
            f"{source}: expected a plan of version {VERSION}",
            hint="write it anew: dt plan --plan-file FILE",
        )
    return from_jsonable(HandedPlan, document, source=source)

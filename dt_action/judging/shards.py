"""Whether the reports of shards are of one plan, and whether together they have each test of it once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dt_action.model.plan import Divided, Share
from dt_action.model.run import Run

MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a set of shards, a sentence each, and the planned files that are in none of the reports."""

    faults: tuple[str, ...] = ()
    unreported: tuple[str, ...] = ()


def judge(runs: Iterable[Run], *, is_whole: bool) -> Verdict:
    """
    Hold the last reports of each share against one another, those of each environment for themselves.

    `is_whole` tells that no share is missing; else it is told already that files may be in no report. Runs that are
    no shard have nothing to be held against.
    """
    faults: list[str] = []
    unreported: list[str] = []
    environments: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.shard:
            environments[run.build.environment].append(run)
    for environment, shards in sorted(environments.items()):
        label = f"{environment}: " if environment else ""
        shares = [run.share for run in shards if run.share is not None]
        found = [*_of_other_plans(shards), *_of_other_code(shards)]
        if not found:
            found += _twice(shards)
            if is_whole:
                unreported += _in_none(shares)
                found += _divided(shards)
        faults += [label + fault for fault in found]
    return Verdict(tuple(faults), tuple(unreported))


def _of_other_plans(shards: Sequence[Run]) -> Iterator[str]:
    unknown = [run.shard for run in shards if run.share is None]
    if unknown:
        yield f"the report of shard {_listed(unknown)} does not tell which plan it is of; was an older dt used?"
    by_plan: dict[str, list[str]] = defaultdict(list)
    for run in shards:
        if run.share is not None:
            by_plan[run.share.plan].append(run.shard)
    if len(by_plan) > 1:
        told = "; ".join(f"{_listed(names)} of plan {plan}" for plan, names in sorted(by_plan.items()))
        yield (
            f"the shards were cut from different plans ({told}), so that tests may have run in none of them: "
            "do all jobs have the same files and options? (docs/shards.md)"
        )
    beyond = [run.share.beyond for run in shards if run.share is not None]
    seen = Counter(path for paths in beyond for path in paths)
    differing = sorted(path for path, count in seen.items() if count < len(beyond))
    if differing:
        yield f"pytest found {_listed(differing)} in some of the shards only, so that no shard may have run them"


def _of_other_code(shards: Sequence[Run]) -> Iterator[str]:
    commits = sorted({run.build.commit for run in shards if run.build.commit})
    if len(commits) > 1:
        yield f"the shards ran different commits: {', '.join(commit[:12] for commit in commits)}"


def _twice(shards: Sequence[Run]) -> Iterator[str]:
    """Cases that two shards ran. What cannot be collected is told by each shard that has a part of it."""
    owner: dict[str, str] = {}
    twice: dict[str, str] = {}
    for run in shards:
        for result in run.results:
            case = result.case
            if case.id != case.file and owner.setdefault(case.id, run.shard) != run.shard:
                twice[case.id] = f"{owner[case.id]} and {run.shard}"
    if twice:
        first = next(iter(twice))
        yield f"{_counted(len(twice), 'test')} ran in two shards, {first} in {twice[first]}"


def _in_none(shares: Sequence[Share]) -> Iterator[str]:
    planned = set().union(*(share.files for share in shares))
    yield from sorted(planned.difference(*(share.mine for share in shares)))


def _divided(shards: Sequence[Run]) -> Iterator[str]:
    """Files that several shards divide: all of them must have seen the same cases, and have each of them once."""
    parts: dict[str, list[Divided]] = defaultdict(list)
    for run in shards:
        for divided in run.share.divided if run.share else ():
            parts[divided.path].append(divided)
    unknown = _not_collected(shards)
    for path, found in sorted(parts.items()):
        if len({(part.cases, part.ids) for part in found}) > 1:
            counts = " and ".join(str(count) for count in sorted({part.cases for part in found}))
            yield (
                f"pytest does not find the same tests of {path} in each process ({counts} of them), so that shards "
                "cannot divide it: give its parametrisations a fixed order and ids, or use --shard-by files"
            )
        elif path not in unknown and sum(part.mine for part in found) != found[0].cases:
            yield f"of the {found[0].cases} tests of {path}, the shards had {sum(part.mine for part in found)}"


def _not_collected(shards: Sequence[Run]) -> set[str]:
    """Files of which a shard knows nothing: that is told of them already."""
    return {path for run in shards for path in run.uncollected} | {
        result.case.file for run in shards for result in run.results if result.case.id == result.case.file
    }


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"

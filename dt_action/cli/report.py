"""`dt report`: one report of the reports that many jobs left; a job that left none makes the run incomplete."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dt_action.app.artifacts import Artifacts
from dt_action.app.parts import find_parts, read_parts
from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_from
from dt_action.cli.run import present
from dt_action.errors import ConfigurationError, NoTestsError
from dt_action.judging.coverage_data import shard_data_files
from dt_action.judging.merging import merge
from dt_action.model.build import Build
from dt_action.model.change import Selection
from dt_action.model.event import Notice
from dt_action.model.run import Run
from dt_action.options import Settings
from dt_action.pipeline import Outcome, conclude


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Merge the reports, judge the whole, write and publish it."""
    parser = Parser("report", "merge the reports of many jobs into one, and publish it")
    parser.add_argument("parts", nargs="*", help="directories or files with the JSON reports, instead of --reports")
    settings, given = settings_from(parser, argv, environ)
    settings = replace(settings, shard=None)  # a job that merges has no share, even where it is one of several copies
    named = tuple(getattr(given, "parts", ())) or settings.reports
    expected = expected_parts(settings)
    places = [settings.root / name for name in named]
    # Where every job died, nothing was gathered: they are missing, and that is to be told.
    files = find_parts([path for path in places if path.exists() or not settings.expect])
    if not files and not settings.expect:
        raise NoTestsError(
            f"there is no JSON report in {', '.join(named) or 'no directory at all'}",
            hint="name the directories with the reports of the jobs: dt report parts",
        )
    data = [path for name in named for path in shard_data_files(settings.root / name)]
    return present(settings, environ, lambda wiring: _publish(wiring, files, expected, data))


def _publish(wiring: Wiring, files: Sequence[Path], expected: Mapping[str, int], data: Sequence[Path]) -> Outcome:
    artifacts = Artifacts.from_settings(wiring.settings, wiring.environ)
    run = _merged(files, expected, artifacts, wiring.memory.build)
    if wiring.settings.expect and not expected:
        run = replace(run, selection=Selection(asked="the plan, which left no test to run"))
    steps = replace(
        wiring.steps(), judge=lambda merged: wiring.memory.judge(wiring.covered(merged, data) if data else merged)
    )
    return conclude(steps, run)


def _merged(files: Sequence[Path], expected: Mapping[str, int], artifacts: Artifacts, build: Build) -> Run:
    """
    The runs as one. A part that cannot be read is a part that never came: the run is incomplete and says so.

    So is one that a job left before the matrix was made: when everything is run again, what an artifact still has of
    the attempt before is no answer.
    """
    read, unreadable = read_parts(files, artifacts.brought)
    runs, stale = _of_this_build(read, build)
    run = merge((run for run in runs if run.build.attempt >= expected.get(part_name(run), 1)), expected)
    notices = (*(Notice(level="error", text=text) for text in unreadable), *stale)
    names = (f"an unreadable report ({number})" for number in range(1, len(unreadable) + 1))
    return replace(run, missing_shards=(*run.missing_shards, *names), notices=(*run.notices, *notices))


def _of_this_build(runs: Sequence[Run], build: Build) -> tuple[Sequence[Run], Sequence[Notice]]:
    """
    Without what an earlier build of other code left in a folder that nobody cleared, and a word about each.

    Two builds of one commit may well be told together. Where nothing is of this build, it is there to tell of another.
    """

    def is_of_another(run: Run) -> bool:
        ours, its = (build.run_id, build.commit), (run.build.run_id, run.build.commit)
        return all((*ours, *its)) and ours[0] != its[0] and ours[1] != its[1]

    others = [run for run in runs if is_of_another(run)]
    is_mixed = len(others) < len(runs)
    notices = [
        Notice(
            level="warning",
            text=f"the report of {part_name(run) or run.build.job or 'a job'} is of commit {run.build.commit[:12]} in "
            f"another build ({run.build.run_id})" + ", and is left out" * is_mixed,
        )
        for run in others
    ]
    return ([run for run in runs if not is_of_another(run)] if is_mixed else runs), notices


def part_name(run: Run) -> str:
    """The name of the job that made a run, as `expected_parts` has it."""
    return f"{run.build.environment} {run.shard}".strip()


def expected_parts(settings: Settings) -> Mapping[str, int]:
    """
    The jobs of the matrix in `--expect` by name, as `merge` takes them, and the CI attempt in which it was made.

    Raises ConfigurationError.
    """
    if not settings.expect:
        return {}
    try:
        jobs = json.loads(settings.expect)["include"]
        return {f"{job['label']} {job['shard']}".strip(): int(job.get("attempt", 1)) for job in jobs}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigurationError(
            f"{settings.told_by('expect')} is {settings.expect[:60]!r}; expected the matrix that dt plan gave",
            hint="hand over the output `matrix` of the job that ran dt plan --matrix",
        ) from None

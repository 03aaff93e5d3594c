"""
The register of badges: for every badge what each job said last, and the badges that this makes.

A job that is removed from its workflow would colour a badge for ever, and one that has not ended yet must not lose its
word to those that have: so a job's word stands until its next one, or until two newer runs of its workflow went by in
which other jobs spoke of the same badge.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dt_action.errors import UnreadableError
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.report import Badge
from dt_action.providers.job import Job, Order
from dt_action.reports.formats import shields
from dt_action.reports.renderers.badge import coverage_badge, status_badge, together

RUNS_A_WORD_OUTLIVES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a job said for one badge."""

    job: Job
    badge: Badge


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """The words for each badge by its name, and the newest runs of each workflow, the newest first."""

    words: Mapping[str, tuple[Word, ...]] = field(default_factory=dict)
    runs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def with_(self, badges: Sequence[Badge], job: Job) -> Register:
        """The register after a job has spoken; the same where a newer run of it has."""
        ours = self.runs.get(job.workflow, ())
        runs = {**self.runs, job.workflow: tuple(sorted({*ours, job.run}, reverse=True))[: RUNS_A_WORD_OUTLIVES + 1]}
        said = {badge.name: [*self.words.get(badge.name, ()), Word(job=job, badge=badge)] for badge in badges}
        words = {name: tuple(_standing(all_, runs)) for name, all_ in {**self.words, **said}.items()}
        return Register(words={name: all_ for name, all_ in words.items() if all_}, runs=runs)

    def badge(self, name: str) -> Badge | None:
        """What all jobs say together: the worst result, the largest coverage, else the newest word."""
        words = self.words.get(name, ())
        if not words:
            return None
        newest = max(words, key=lambda word: (word.job.order, word.job.key)).badge
        standings = [word.badge.standing for word in words if word.badge.standing is not None]
        if newest.standing is not None:
            return replace(status_badge(name, newest.label, together(standings)), label=newest.label)
        percents = [word.badge.percent for word in words if word.badge.percent is not None]
        if newest.percent is not None:
            return replace(coverage_badge(max(percents)), name=name, label=newest.label)
        return newest

    def files(self, names: Iterable[str]) -> dict[str, str]:
        """The files of the badges of these names, as text by file name."""
        badges = (self.badge(name) for name in names)
        return {name: data.decode("utf-8") for name, data in shields.files(filter(None, badges)).items()}


def read_register(content: bytes) -> Register:
    """The register in a file; empty where it is missing, damaged or of another version."""
    try:
        return from_jsonable(Register, json.loads(content)["register"], source="the register")
    except (ValueError, KeyError, TypeError, RecursionError, UnreadableError):
        return Register()


def write_register(register: Register) -> str:
    """The register as a file."""
    return json.dumps({"register": to_jsonable(register)}, indent=1, sort_keys=True) + "\n"


def _standing(words: Sequence[Word], runs: Mapping[str, tuple[int, ...]]) -> list[Word]:
    """Of each job its last word, of two jobs that cannot be told apart both; without those that are outlived."""
    last: dict[str, Order] = {}
    for word in words:
        last[word.job.key] = max(word.job.order, last.get(word.job.key, word.job.order))
    newest = {(word.job.key, word.job.writer): word for word in words if word.job.order == last[word.job.key]}
    latest_run = {word.job.workflow: 0 for word in newest.values()}
    for word in newest.values():
        latest_run[word.job.workflow] = max(word.job.run, latest_run[word.job.workflow])

    def is_outlived(job: Job) -> bool:
        newer = sum(run > job.run for run in runs.get(job.workflow, ()))
        return newer >= RUNS_A_WORD_OUTLIVES and job.run < latest_run[job.workflow]

    kept = (word for word in newest.values() if not is_outlived(word.job))
    return sorted(kept, key=lambda word: (word.job.key, word.job.writer))

"""Annotations on GitHub, where they are seen: on the job's own check, on a check run of ours, or as log commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dt_action.model.report import Annotation
from dt_action.providers.github_api import (
    ANNOTATIONS_PER_REQUEST,
    CHECK_TEXT_BYTES,
    CheckOutput,
    CheckRun,
    GitHubApi,
    annotation_key,
)
from dt_action.providers.rest import UncertainError
from dt_action.reports.formats.markdown_fit import fit

CONCLUSIONS = {
    "passed": "success",
    "failed": "failure",
    "incomplete": "failure",
    "cancelled": "cancelled",
    "timeout": "timed_out",
    "skipped": "neutral",
    "no-tests": "neutral",
}
"""What a run's conclusion is called on a check run; what is incomplete, or ran nothing, can never look green."""

_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check run of our own. One `external_id`, such as `dt:<run>:<attempt>:<name>`, is one check run."""

    name: str
    commit: str
    external_id: str
    url: str
    conclusion: str


def annotate_job(api: GitHubApi, check_id: int, output: CheckOutput) -> None:
    """Put annotations on the check that the runner made for this very job. Raises ApiError, such as 403."""
    _append(api, check_id, output, conclusion="")


def publish_check(api: GitHubApi, check: Check, output: CheckOutput) -> str:
    """
    Show a run as a check run of its own, made once and updated after that. Returns its page.

    Raises ApiError: a personal token cannot write checks, a read-only one neither.
    """
    found = _find(api, check)
    if found is None:
        try:
            found = api.create_check_run(check.name, check.commit, check.external_id, check.url)
        except UncertainError:
            found = _find(api, check)
            if found is None:
                raise
    _append(api, found.id, output, check.conclusion)
    return found.url


def _find(api: GitHubApi, check: Check) -> CheckRun | None:
    runs = api.check_runs(check.commit, check.name)
    return next((run for run in runs if run.external_id == check.external_id), None)


def _append(api: GitHubApi, check_id: int, output: CheckOutput, conclusion: str) -> None:
    """
    Send what the check run does not show yet, 50 a request, since every request appends.

    Looking first makes a second publication, and a request whose answer was lost, add nothing twice.
    """
    summary = fit(output.summary, CHECK_TEXT_BYTES, "*Shortened: the whole report is in the job's summary.*")
    for round_ in range(1, _ROUNDS + 1):
        shown = api.annotation_keys(check_id)
        missing = _distinct([item for item in output.annotations if annotation_key(item) not in shown])
        try:
            for start in range(0, len(missing), ANNOTATIONS_PER_REQUEST):
                some = missing[start : start + ANNOTATIONS_PER_REQUEST]
                api.update_check_run(check_id, CheckOutput(title=output.title, summary=summary, annotations=some))
            api.update_check_run(check_id, CheckOutput(title=output.title, summary=summary), conclusion)
            return
        except UncertainError:
            if round_ == _ROUNDS:
                raise


def _distinct(annotations: Sequence[Annotation]) -> list[Annotation]:
    return list({annotation_key(annotation): annotation for annotation in reversed(annotations)}.values())[::-1]

"""Runs and publications to publish in tests."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from github_double import GitHubDouble
from gitlab_double import GitLabDouble

from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.model.report import Annotation, Badge, Document, Publication
from dt_action.model.run import Run
from dt_action.providers.github import GitHub
from dt_action.providers.github_api import GitHubApi, connect
from dt_action.providers.gitlab import GitLab
from dt_action.providers.rest import Rest
from dt_action.providers.settings import Settings


def run_of(*outcomes: Outcome, names: str = "test_a.py::test") -> Run:
    """A run with one result per outcome."""
    results = tuple(
        TestResult(
            case=TestCase(id=f"{names}_{number}", file="test_a.py", line=number + 1),
            attempts=(Attempt(outcome=outcome, duration_s=0.5, message="boom"),),
        )
        for number, outcome in enumerate(outcomes)
    )
    return Run(id="r1", results=results, makespan_s=1.5)


def publication_of(run: Run, summary: str = "", annotations: int = 0, badges: tuple[Badge, ...] = ()) -> Publication:
    """What would be told of a run."""
    return Publication(
        title="Tests",
        summary_markdown=summary or f"# Tests\n\n{run.totals().line()}\n",
        documents=(Document(name="test_report_1.html", format="html", content=b"<p>"),),
        annotations=tuple(
            Annotation(path="test_a.py", line=n + 1, level="failure", title=f"test_{n}", message="boom", detail="trace")
            for n in range(annotations)
        ),
        badges=badges,
    )


def pull_request_event(tmp_path: Path, *, fork: bool = False, number: int = 7, head: str = "a" * 40) -> Path:
    """The event of a pull request whose newest commit is `head`, as the runner writes it."""
    event = {
        "repository": {"full_name": "team/app", "default_branch": "main"},
        "pull_request": {
            "number": number,
            "head": {"sha": head, "ref": "feature", "repo": {"full_name": "stranger/app" if fork else "team/app"}},
            "base": {"sha": "b" * 40, "ref": "main"},
        },
    }
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    return path


def push_event(tmp_path: Path) -> Path:
    """The event of a push to the default branch."""
    path = tmp_path / "push.json"
    path.write_text(json.dumps({"before": "0" * 40, "repository": {"default_branch": "main"}}))
    return path


def quickly(seconds: float) -> None:
    """Waits as long as it takes for others to get their turn, not as long as politeness asks for."""
    time.sleep(min(seconds / 50, 0.05))


def github_job(double: GitHubDouble, event: Path, job: str, *, run_id: int = 1000, **settings: Any) -> GitHub:
    """The provider in a job of the workflow CI; `settings` go before those of a quiet run, `attempt` is the job's."""
    environ = {
        "GITHUB_SERVER_URL": "https://github.example",
        "GITHUB_REPOSITORY": "team/app",
        "GITHUB_API_URL": double.url,
        "GITHUB_SHA": "c" * 40,
        "GITHUB_RUN_ID": str(run_id),
        "GITHUB_RUN_ATTEMPT": str(settings.pop("attempt", 1)),
        "GITHUB_REF_NAME": "main",
        "GITHUB_REF_TYPE": "branch",
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_WORKFLOW": "CI",
        "GITHUB_JOB": job,
    }

    def connected(url: str, repository: str, token: str) -> GitHubApi:
        return connect(url, repository, token, sleep=quickly, write_pause_s=0)

    options = {"token": "ghs_write", "comment": "off", **settings}
    return GitHub(environ, Settings(**options), write=lambda _: None, connect_api=connected, sleep=quickly)


def gitlab_job(double: GitLabDouble, tmp_path: Path, job: str, *, pipeline: int = 99, **settings: Any) -> GitLab:
    """The provider in a job of a pipeline of merge request 7; `job_id` is another one for every try."""
    environ = {
        "CI_API_V4_URL": f"{double.url}/api/v4",
        "CI_PROJECT_ID": "12",
        "CI_PROJECT_PATH": "team/app",
        "CI_MERGE_REQUEST_IID": "7",
        "CI_COMMIT_SHA": "merged",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "pushed",
        "CI_PIPELINE_ID": str(pipeline),
        "CI_JOB_ID": str(settings.pop("job_id", 500)),
        "CI_JOB_NAME": job,
        "CI_JOB_URL": "https://gitlab.example/team/app/-/jobs/5",
        "CI_PIPELINE_SOURCE": "merge_request_event",
    }
    if settings.pop("is_branch_pipeline", False):
        environ |= {"CI_OPEN_MERGE_REQUESTS": "other/fork!3,team/app!7", "CI_PIPELINE_SOURCE": "push"}
        del environ["CI_MERGE_REQUEST_IID"]
    options = {"token": "glpat-bot", "comment": "always", "output_dir": str(tmp_path / job), **settings}
    return GitLab(
        environ,
        Settings(**options),
        write=lambda _: None,
        connect_api=lambda url, token: Rest(url=url, headers={"PRIVATE-TOKEN": token}, write_pause_s=0, sleep=quickly),
        sleep=quickly,
    )

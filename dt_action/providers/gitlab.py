"""GitLab CI: which build this is, and the run as artifact reports, a coverage line and a merge-request note."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from dt_action.errors import PublishingError
from dt_action.model.build import Build
from dt_action.model.report import Publication
from dt_action.model.run import Run
from dt_action.providers import outputs
from dt_action.providers.board import Entry, entry_of
from dt_action.providers.gitlab_note import PAGE, GitLabThread
from dt_action.providers.job import Job, key_of, named
from dt_action.providers.rest import ApiError, Json, Rest
from dt_action.providers.settings import Settings
from dt_action.providers.shared_comment import Writer, is_news
from dt_action.reports.formats import codequality

CODE_QUALITY = "gl-code-quality.json"
ANNOTATIONS = "gl-annotations.json"
DOTENV = "dt.env"


class GitLab:
    """
    The Provider for GitLab CI.

    The files go to the output directory under fixed names, so that `artifacts:reports` can name them. `write` puts a
    line into the job's log, where the `coverage:` pattern finds the percentage.
    """

    name = "gitlab"

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        *,
        write: Callable[[str], None],
        connect_api: Callable[[str, str], Rest] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ = environ
        self._settings = settings
        self._write = write
        self._connect = connect_api or _connect
        self._sleep = sleep

    def build(self) -> Build:
        """The build that the predefined variables describe (https://docs.gitlab.com/ci/variables/predefined_variables)."""
        env = self._environ
        number = env.get("CI_MERGE_REQUEST_IID", "")
        branch = env.get("CI_COMMIT_BRANCH", "")
        return Build(
            provider=self.name,
            repository=env.get("CI_PROJECT_PATH", ""),
            # In a merged-results pipeline CI_COMMIT_SHA is a commit that nobody pushed.
            commit=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA", "") or env.get("CI_COMMIT_SHA", ""),
            checked_out=env.get("CI_COMMIT_SHA", ""),
            base_commit=env.get("CI_MERGE_REQUEST_TARGET_BRANCH_SHA", "")
            or env.get("CI_MERGE_REQUEST_DIFF_BASE_SHA", "")
            or _real(env.get("CI_COMMIT_BEFORE_SHA", "")),
            base_branch=env.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""),
            default_branch=env.get("CI_DEFAULT_BRANCH", ""),
            branch=env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "") or env.get("CI_COMMIT_REF_NAME", ""),
            pull_request=int(number) if number.isdecimal() else None,
            run_id=env.get("CI_PIPELINE_ID", ""),
            run_number=_number(env.get("CI_PIPELINE_IID", "")),
            job=env.get("CI_JOB_NAME", ""),
            url=env.get("CI_JOB_URL", "") or env.get("CI_PIPELINE_URL", ""),
            server_url=env.get("CI_SERVER_URL", ""),
            environment=self._settings.environment,
            is_default_branch=bool(branch) and branch == env.get("CI_DEFAULT_BRANCH", ""),
        )

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """Write the artifact reports, tell the coverage and post the note; what is refused comes back in words."""
        refusals = []
        for what, step in (
            ("the artifact reports", self._files),
            ("the coverage", self._coverage),
            ("the merge request's note", self._note),
        ):
            try:
                step(run, publication)
            except (PublishingError, OSError) as error:
                hint = getattr(error, "hint", "")
                refusals.append(f"{what}: {getattr(error, 'message', error)}" + (f" ({hint})" if hint else ""))
        return refusals

    def _files(self, run: Run, publication: Publication) -> None:
        directory = Path(self._settings.output_dir)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CODE_QUALITY).write_bytes(codequality.write(publication.annotations))
        found = outputs.outputs_of(run, publication, self._settings.output_dir)
        (directory / DOTENV).write_text(outputs.dotenv(found), encoding="utf-8", newline="\n")
        (directory / ANNOTATIONS).write_text(json.dumps(self._links(found), indent=1) + "\n", encoding="utf-8")

    def _links(self, found: Mapping[str, str]) -> Json:
        """Links on the job's page to the documents among its artifacts (GitLab 16.3)."""
        job = self._environ.get("CI_JOB_URL", "")
        links = [
            {"external_link": {"label": label, "url": f"{job}/artifacts/file/{quote(self._in_artifacts(found[name]))}"}}
            for name, label in (("report_html", "Test report (HTML)"), ("report_md", "Test report (Markdown)"))
            if job and found[name]
        ]
        return {"distributed_testing": links}

    def _in_artifacts(self, path: str) -> str:
        """A path as artifacts name it: from the project's folder, wherever in it dt was started."""
        top, whole = Path(self._environ.get("CI_PROJECT_DIR") or ".").resolve(), Path(path).resolve()
        return whole.relative_to(top).as_posix() if whole.is_relative_to(top) else path

    def _coverage(self, run: Run, publication: Publication) -> None:
        if run.coverage is not None:
            covered, whole = run.coverage.covered, run.coverage.statements
            self._write(f"TOTAL {whole} {whole - covered} {run.coverage.percent:.1f}%")

    def _note(self, run: Run, publication: Publication) -> None:
        """Add this job's line to the one note; `CI_JOB_TOKEN` cannot write notes, so it is not tried."""
        env, settings = self._environ, self._settings
        number = env.get("CI_MERGE_REQUEST_IID", "") or _open_merge_request(env)
        if not settings.token or not number or settings.comment == "off":
            return
        rest = self._connect(env.get("CI_API_V4_URL", "") or f"{env.get('CI_SERVER_URL', '')}/api/v4", settings.token)
        project = env.get("CI_MERGE_REQUEST_PROJECT_ID") or env.get("CI_PROJECT_ID", "")
        entry = self._entry(run, publication)
        repository = f"{path}/-" if (path := env.get("CI_PROJECT_PATH", "")) else ""
        page = replace(PAGE, server_url=env.get("CI_SERVER_URL", ""), repository=repository)
        writer = Writer(thread=GitLabThread(rest, project, number), page=page, sleep=self._sleep)
        try:
            board = writer.publish(entry, may_create=is_news(settings.comment, run, entry))
        except ApiError as error:
            if error.status in (401, 403):
                raise ApiError(
                    error.message,
                    status=error.status,
                    hint="give a project access token with the scope `api` and the role Reporter or higher",
                ) from None
            raise
        if board is not None and board.rivals_of(entry):
            raise PublishingError(
                f"{entry.title!r} was told twice for this job, so that both stand there under one name",
                hint="give each of the job's calls of dt a name of its own with --label",
            )

    def _entry(self, run: Run, publication: Publication) -> Entry:
        """
        This job's line in the note.

        A job's name holds the values of its leg of a matrix. A job that is tried again has another id, a greater one.
        """
        env, build, label = self._environ, self.build(), self._settings.environment
        pipeline = env.get("CI_PIPELINE_NAME", "") or env.get("CI_CONFIG_PATH", "")
        job = Job(
            key=key_of("gitlab", pipeline, build.job, label, run.shard),
            writer=run.id,
            workflow=env.get("CI_PIPELINE_NAME", ""),
            run=_number(build.run_id),
            attempt=_number(env.get("CI_JOB_ID", "")) or 1,
        )
        title = named(build.job or "tests", label if label not in build.job else "")
        entry = entry_of(run, job, title=title, commit=build.commit, url=build.url, text=publication.summary_markdown)
        # What a merge with the target does says nothing of the branch alone, nor the other way round.
        key = key_of(entry.key, "merge") if env.get("CI_MERGE_REQUEST_IID") else entry.key
        return replace(entry, key=key, trigger=env.get("CI_PIPELINE_SOURCE", ""))


def _connect(url: str, token: str) -> Rest:
    """
    GitLab takes `Authorization` as well as its own `PRIVATE-TOKEN`, and the first is not sent on to another host where
    a proxy redirects to its page for signing in (https://docs.gitlab.com/api/rest/authentication).
    """
    headers = {"Authorization": f"Bearer {token}", "User-Agent": "distributed-testing"}
    return Rest(url=url, headers=headers, write_pause_s=0.2)


def _open_merge_request(env: Mapping[str, str]) -> str:
    """The number of the first merge request of this project that a branch pipeline's branch is the source of."""
    for name in env.get("CI_OPEN_MERGE_REQUESTS", "").split(","):
        project, _, number = name.strip().partition("!")
        if number.isdecimal() and project == env.get("CI_PROJECT_PATH", ""):
            return number
    return ""


def _real(commit: str) -> str:
    return commit if commit.strip("0") else ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0

"""GitHub Actions: which build this is, and the run as summary, annotations, comment, outputs and badges."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dt_action.errors import PublishingError
from dt_action.model.build import Build
from dt_action.model.report import Annotation, Badge, Publication
from dt_action.model.run import Run
from dt_action.providers import github_badges, github_checks, github_commands, outputs
from dt_action.providers.board import Entry, entry_of
from dt_action.providers.github_api import CHECK_NAME_CHARS, SUMMARY_BYTES, CheckOutput, GitHubApi, connect
from dt_action.providers.github_comment import PAGE, GitHubThread
from dt_action.providers.job import Job, key_of, named
from dt_action.providers.rest import ApiError
from dt_action.providers.settings import Settings
from dt_action.providers.shared_comment import Writer, is_news
from dt_action.reports.formats.markdown_fit import fit
from dt_action.reports.formats.text import one_line

SUMMARY_RESERVE_BYTES = 2_048
"""Left free in the summary's file for those who write after us in the same step."""

DEFAULT_CHECK_NAME = "Distributed Testing"

_MAX_EVENT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    What the event that started the workflow says, as far as it matters here.

    `run_id`, `run_attempt`, `workflow` and `trigger` are those of the run that a `workflow_run` event is about.
    """

    head_commit: str = ""
    base_commit: str = ""
    base_branch: str = ""
    is_forced: bool = False
    head_branch: str = ""
    pull_request: int | None = None
    default_branch: str = ""
    is_fork: bool = False
    is_workflow_run: bool = False
    is_for_pull_request: bool = False
    head_repository: str = ""
    head_owner: str = ""
    run_id: int = 0
    run_attempt: int = 1
    workflow: str = ""
    workflow_path: str = ""
    trigger: str = ""


class GitHub:
    """
    The Provider for GitHub Actions.

    `write` puts a line on stdout, where the runner reads workflow commands. Without a token only what needs none is
    shown: the summary, the outputs and ten annotations of each type.
    """

    name = "github"

    def __init__(
        self,
        environ: Mapping[str, str],
        settings: Settings,
        *,
        write: Callable[[str], None],
        connect_api: Callable[[str, str, str], GitHubApi] = connect,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environ = environ
        self._settings = settings
        self._write = write
        self._sleep = sleep
        self._event = read_event(environ.get("GITHUB_EVENT_PATH", ""), environ.get("GITHUB_REPOSITORY", ""))
        self._api: GitHubApi | None = None
        if settings.token and environ.get("GITHUB_REPOSITORY"):
            url = environ.get("GITHUB_API_URL", "") or "https://api.github.com"
            self._api = connect_api(url, environ["GITHUB_REPOSITORY"], settings.token)

    def build(self) -> Build:
        """The build that the environment and the event describe."""
        env, event = self._environ, self._event
        server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
        run_id, attempt = env.get("GITHUB_RUN_ID", ""), _number(env.get("GITHUB_RUN_ATTEMPT", ""), 1)
        branch = event.head_branch or env.get("GITHUB_HEAD_REF", "") or env.get("GITHUB_REF_NAME", "")
        # A schedule's event names no repository, but one runs on the default branch alone.
        is_scheduled = env.get("GITHUB_EVENT_NAME", "") == "schedule"
        default_branch = event.default_branch or (branch if is_scheduled else "")
        is_pull_request = event.pull_request is not None or event.is_workflow_run
        return Build(
            provider=self.name,
            repository=repository,
            commit=event.head_commit or env.get("GITHUB_SHA", ""),
            base_commit=event.base_commit,
            base_branch=event.base_branch,
            default_branch=default_branch,
            is_forced=event.is_forced,
            branch=branch,
            pull_request=event.pull_request,
            run_id=run_id,
            run_number=_number(env.get("GITHUB_RUN_NUMBER", ""), 0),
            attempt=attempt,
            job=env.get("GITHUB_JOB", ""),
            url=f"{server}/{repository}/actions/runs/{run_id}/attempts/{attempt}" if server and run_id else "",
            server_url=server,
            environment=self._settings.environment,
            is_default_branch=not is_pull_request
            and env.get("GITHUB_REF_TYPE", "branch") == "branch"
            and bool(branch)
            and branch == default_branch,
        )

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """Show the run in every place that is asked for; what is refused comes back in words."""
        build = self.build()
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("the outputs", lambda: self._outputs(run, publication)),
            ("the job's summary", lambda: self._summary(publication)),
            ("the annotations", lambda: self._annotate(run, publication)),
            ("the comment", lambda: self._comment(run, publication, build)),
            ("the badges", lambda: self._badges(run, publication, build)),
        )
        refusals = []
        for what, step in steps[:1] if self._settings.is_part else steps:
            try:
                step()
            except (PublishingError, OSError) as error:
                refusals.append(self._refusal(what, error))
        return refusals

    def _outputs(self, run: Run, publication: Publication) -> None:
        path = self._environ.get("GITHUB_OUTPUT", "")
        if path:
            github_commands.append_outputs(Path(path), outputs.outputs_of(run, publication, self._settings.output_dir))

    def _summary(self, publication: Publication) -> None:
        """Append to the step's summary; Enterprise Server before 3.6 has none, which is no refusal."""
        name = self._environ.get("GITHUB_STEP_SUMMARY", "")
        if not name:
            return
        path = Path(name)
        used = path.stat().st_size if path.exists() else 0
        room = SUMMARY_BYTES - used - SUMMARY_RESERVE_BYTES
        text = _longest_that_fits(publication, room - 2, self._settings.report_url)
        if not text:
            raise PublishingError(
                f"{used:,} of its {SUMMARY_BYTES:,} bytes are used already",
                hint="run the action in a step of its own; the documents in the output directory are whole",
            )
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(("\n" if used else "") + text.rstrip("\n") + "\n")

    def _annotate(self, run: Run, publication: Publication) -> None:
        settings = self._settings
        annotations = publication.annotations[: settings.max_annotations]
        if self._api is None or not (annotations or settings.check_name):
            refused = None
        else:
            refused = self._annotate_by_api(self._api, run, publication, annotations)
            if refused is None:
                return
        for line in github_commands.annotation_commands(annotations):
            self._write(line)
        if refused is not None and (settings.check_name or not _is_read_only(refused)):
            raise refused

    def _annotate_by_api(
        self, api: GitHubApi, run: Run, publication: Publication, annotations: Sequence[Annotation]
    ) -> ApiError | None:
        """Annotate the job's own check, or a check run of ours where that is refused or one was named; or why not."""
        settings, build = self._settings, self.build()
        entry = self._entry(run, publication, build)
        placed = [item for item in annotations if item.path]
        if settings.check_run_id is not None and not settings.check_name:
            summary = publication.summary_markdown
            try:
                output = CheckOutput(title=entry.counts(), summary=summary, annotations=placed)
                github_checks.annotate_job(api, settings.check_run_id, output)
                return None
            except ApiError as error:
                if not _is_read_only(error):
                    return error
        name = settings.check_name or DEFAULT_CHECK_NAME
        check = github_checks.SharedCheck(
            api=api,
            name=one_line(named(name, build.environment), CHECK_NAME_CHARS),
            commit=build.commit,
            url=build.url,
            server_url=build.server_url,
            repository=build.repository,
        )
        try:
            check.publish(entry, placed)
        except ApiError as error:
            return error
        return None

    def _comment(self, run: Run, publication: Publication, build: Build) -> None:
        if self._api is None or self._settings.comment == "off":
            return
        number = build.pull_request or self._pull_request_of(self._api, build)
        if number is None:
            return
        entry = self._entry(run, publication, build)
        page = replace(PAGE, server_url=build.server_url, repository=build.repository)
        writer = Writer(thread=GitHubThread(self._api, number, self._settings.token), page=page, sleep=self._sleep)
        board = writer.publish(entry, may_create=is_news(self._settings.comment, run, entry))
        if board is not None and board.rivals_of(entry):
            raise PublishingError(
                f"another job of this run is called {entry.title!r}, too, so that both stand there under one name",
                hint="give each leg of a matrix a name of its own with `label`",
            )

    def _entry(self, run: Run, publication: Publication, build: Build) -> Entry:
        """This job's line wherever many jobs tell of one commit."""
        job = self._job(build, run.id, run.shard)
        text = publication.summary_markdown
        if self._settings.report_url:
            text += f"\n\n[The whole report]({self._settings.report_url})"
        title = named(self._caller + (build.job or "tests"), self._leg, run.shard)
        entry = entry_of(run, job, title=title, commit=build.commit, url=build.url, text=text)
        trigger = self._event.trigger or self._environ.get("GITHUB_EVENT_NAME", "")
        # What a merge with the target does says nothing of the commit alone, nor the other way round.
        key = key_of(entry.key, "merge") if "pull_request" in trigger else entry.key
        return replace(entry, key=key, trigger=trigger)

    def _job(self, build: Build, writer: str, shard: str = "") -> Job:
        """Who is speaking; a run that publishes another one's results speaks for that one."""
        env, event = self._environ, self._event
        name = event.workflow or env.get("GITHUB_WORKFLOW", "")
        path = event.workflow_path if event.run_id else env.get("GITHUB_WORKFLOW_REF", "").partition("@")[0]
        job = self._caller + build.job
        return Job(
            key=key_of("github", path or name, job, self._leg, shard, env.get("GITHUB_ACTION", "")),
            writer=writer,
            workflow=name or path,
            run=event.run_id or _number(build.run_id, build.run_number),
            attempt=event.run_attempt if event.run_id else build.attempt,
        )

    @cached_property
    def _caller(self) -> str:
        """`api / ` for a job of a reusable workflow that the job `api` calls: only its check's name tells of that."""
        if self._api is None or self._settings.check_run_id is None:
            return ""
        try:
            name = self._api.check_run(self._settings.check_run_id).name
        except ApiError:
            return ""
        return "".join(name.rpartition(" / ")[:2])

    @property
    def _leg(self) -> str:
        """What tells this leg of a matrix from the others: its label, else its values as GitHub shows them."""
        return self._settings.environment or values_of_leg(self._settings.leg)

    def _pull_request_of(self, api: GitHubApi, build: Build) -> int | None:
        """
        The open pull request of a `workflow_run`, asked of the API by its head.

        The event names none for a fork, and an artifact's word is not to be trusted. Raises PublishingError where there
        is none, since then somebody waits for a comment in vain.
        """
        event = self._event
        if not (event.is_workflow_run and event.is_for_pull_request):
            return None
        found = [*api.pull_requests_of(build.commit)]
        if event.head_owner and event.head_branch:
            found += api.pull_requests_from(event.head_owner, event.head_branch)
        if event.is_fork and event.head_repository:
            with suppress(ApiError):  # a private fork's commits are not for this token to see
                found += api.pull_requests_of(build.commit, event.head_repository)
        for pull in found:
            if pull.is_open and pull.head_commit == build.commit and pull.base_repository == build.repository:
                return pull.number
        raise PublishingError(
            f"no open pull request of {build.repository} has {build.commit[:12]} as its newest commit"
        )

    def _badges(self, run: Run, publication: Publication, build: Build) -> None:
        of_default_branch = run.build.is_default_branch if run.build.commit else build.is_default_branch
        if self._settings.badges and of_default_branch and publication.badges:
            self.commit_badges(publication.badges, writer=run.id, shard=run.shard)

    def commit_badges(self, badges: Sequence[Badge], *, writer: str = "", shard: str = "") -> str:
        """
        Commit badges to the badge branch, else the default one. Returns the commit, empty where none was needed.

        Raises PublishingError.
        """
        if self._api is None:
            raise PublishingError(
                "there is no token", hint="set the input `token` and give `permissions: contents: write`"
            )
        publisher = github_badges.Publisher(
            api=self._api,
            branch=self._settings.badge_branch or self._event.default_branch or self._api.default_branch(),
            directory=self._settings.badge_dir.strip("/"),
            sleep=self._sleep,
        )
        return publisher.publish(badges, self._job(self.build(), writer, shard))

    def _refusal(self, what: str, error: Exception) -> str:
        hint = getattr(error, "hint", "")
        message = getattr(error, "message", "") or str(error)
        if isinstance(error, ApiError) and error.status == 401:
            hint = "the token is wrong, or is valid no more"
        elif isinstance(error, ApiError) and (error.status == 404 or "not accessible by" in message.lower()):
            hint = _FORK_HINT if self._event.is_fork or self._is_dependabot else _PERMISSION_HINTS.get(what, "")
        return f"{what}: {message}" + (f" ({hint})" if hint else "")

    @property
    def _is_dependabot(self) -> bool:
        return self._environ.get("GITHUB_ACTOR", "") == "dependabot[bot]"


_FORK_HINT = (
    "the token of a fork's or Dependabot's pull request can only read; docs/github.md shows how to publish for those"
)
_PERMISSION_HINTS = {
    "the annotations": "give the job `permissions: checks: write`",
    "the comment": "give the job `permissions: pull-requests: write`",
    "the badges": "give the job `permissions: contents: write`",
}


def read_event(path: str, repository: str) -> Event:
    """The event's facts from the file that the runner wrote; an empty Event where there is none or it is damaged."""
    try:
        file = Path(path)
        if not path or file.stat().st_size > _MAX_EVENT_BYTES:
            return Event()
        event = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return Event()
    default_branch = str(_at(event, "repository", "default_branch") or "")
    workflow_run = _at(event, "workflow_run")
    if isinstance(workflow_run, dict):
        return Event(
            head_commit=str(workflow_run.get("head_sha") or ""),
            head_branch=str(workflow_run.get("head_branch") or ""),
            default_branch=default_branch,
            is_fork=_at(workflow_run, "head_repository", "full_name") != repository,
            is_workflow_run=True,
            is_for_pull_request="pull_request" in str(workflow_run.get("event") or "pull_request"),
            trigger=str(workflow_run.get("event") or ""),
            workflow=str(workflow_run.get("name") or ""),
            workflow_path=str(workflow_run.get("path") or ""),
            head_repository=str(_at(workflow_run, "head_repository", "full_name") or ""),
            head_owner=str(_at(workflow_run, "head_repository", "full_name") or "").partition("/")[0],
            run_id=_whole(workflow_run.get("id"), 0),
            run_attempt=_whole(workflow_run.get("run_attempt"), 1),
        )
    pull = _at(event, "pull_request")
    if isinstance(pull, dict):
        return Event(
            head_commit=str(_at(pull, "head", "sha") or ""),
            base_commit=str(_at(pull, "base", "sha") or ""),
            base_branch=str(_at(pull, "base", "ref") or ""),
            head_branch=str(_at(pull, "head", "ref") or ""),
            pull_request=int(pull["number"]) if isinstance(pull.get("number"), int) else None,
            default_branch=default_branch,
            is_fork=_at(pull, "head", "repo", "full_name") != repository,
        )
    queue = _at(event, "merge_group")
    if isinstance(queue, dict):
        return Event(
            head_commit=str(queue.get("head_sha") or ""),
            base_commit=str(queue.get("base_sha") or ""),
            base_branch=str(queue.get("base_ref") or "").removeprefix("refs/heads/"),
            default_branch=default_branch,
        )
    before = str(_at(event, "before") or "")
    return Event(
        base_commit=before if before.strip("0") else "",
        is_forced=_at(event, "forced") is True,
        default_branch=default_branch,
    )


def _is_read_only(error: ApiError) -> bool:
    """404 too: that is what a token gets which may not even know of the repository."""
    return error.status in (401, 403, 404) and not error.is_rate_limit


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _longest_that_fits(publication: Publication, room: int, report_url: str) -> str:
    """The Markdown document where it fits, else the summary, which is made for little room, else a cut of that."""
    whole = [document.content for document in publication.documents if document.format == "md"]
    for content in (*whole, publication.summary_markdown.encode("utf-8", "replace")):
        if len(content) <= room:
            return content.decode("utf-8", "replace")
    where = f" [The whole report]({report_url})." if report_url else ""
    return fit(publication.summary_markdown, room, f"*Shortened to fit the 1 MiB of a job's summary.{where}*")


def values_of_leg(text: str) -> str:
    """`{"python": "3.13", "os": "linux"}` -> `3.13, linux`, as GitHub names a leg of a matrix; empty for none."""
    try:
        values = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text
    if not isinstance(values, dict):
        return ""
    return ", ".join(value if isinstance(value, str) else json.dumps(value) for value in values.values())


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and value > 0 else default


def _number(text: str, default: int) -> int:
    return int(text) if text.isdecimal() else default

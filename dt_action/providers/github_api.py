"""
GitHub's REST API: its paths, its JSON and its limits, which are known here alone.

Every limit is in bytes of UTF-8, since that is what the server counts although its reference says characters.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from dt_action.model.report import Annotation
from dt_action.providers.rest import ApiError, Json, Rest, Transport
from dt_action.reports.formats.markdown_fit import cut_bytes

CHECK_TEXT_BYTES = 65_535
"""`output.summary` of a check run: https://docs.github.com/rest/checks/runs#create-a-check-run."""
ANNOTATIONS_PER_REQUEST = 50
ANNOTATION_TEXT_BYTES = 64 * 1024
ANNOTATION_TITLE_CHARS = 255
COMMENT_BYTES = 60_000
"""A comment may have 65,536 characters; what GitHub adds for itself counts too."""
SUMMARY_BYTES = 1024 * 1024
"""A step's summary above 1 MiB is dropped whole (actions/runner, `AttachmentSizeLimit`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """A check run, as far as it matters here."""

    id: int
    external_id: str
    title: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutput:
    """What a check run shows."""

    title: str
    summary: str
    annotations: Sequence[Annotation] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """A comment on a pull request; `is_bot` tells whether an app wrote it, `association` what its author is here."""

    id: int
    body: str
    is_bot: bool
    association: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """Where a ref points: a commit and its tree."""

    commit: str
    tree: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """A pull request as the API knows it, not as an artifact claims."""

    number: int
    is_open: bool
    head_commit: str
    base_repository: str


class GitHubApi:
    """The API of one repository. Every method may raise ApiError; a write may raise UncertainError."""

    def __init__(self, rest: Rest, repository: str) -> None:
        self._rest = rest
        self._repo = f"repos/{repository}"

    # check runs

    def create_check_run(self, name: str, commit: str, external_id: str, details_url: str) -> CheckRun:
        """A check run without output, in progress, at a commit."""
        body = {"name": name, "head_sha": commit, "external_id": external_id, "status": "in_progress"}
        if details_url:
            body["details_url"] = details_url
        return _check_run(self._rest.request("POST", f"{self._repo}/check-runs", json=body))

    def check_runs(self, commit: str, name: str) -> Iterator[CheckRun]:
        """The check runs of that name at a commit."""
        path = f"{self._repo}/commits/{quote(commit, safe='')}/check-runs"
        return map(_check_run, self._rest.pages(path, key="check_runs", check_name=name, filter="all"))

    def check_run(self, check_id: int) -> CheckRun:
        """One check run."""
        return _check_run(self._rest.get(f"{self._repo}/check-runs/{check_id}"))

    def update_check_run(self, check_id: int, output: CheckOutput, conclusion: str = "") -> None:
        """
        Set title and summary and *append* at most `ANNOTATIONS_PER_REQUEST` annotations; complete it if concluded.

        Repeatable only without annotations.
        """
        body: dict[str, Json] = {
            "output": {
                "title": output.title[:255] or "Tests",
                "summary": cut_bytes(output.summary, CHECK_TEXT_BYTES),
                "annotations": [_annotation(annotation) for annotation in output.annotations],
            }
        }
        if conclusion:
            body |= {"status": "completed", "conclusion": conclusion}
        self._rest.request("PATCH", f"{self._repo}/check-runs/{check_id}", json=body, repeatable=not output.annotations)

    def annotation_keys(self, check_id: int) -> set[tuple[str, int, str]]:
        """Path, line and title of every annotation that a check run has."""
        items = self._rest.pages(f"{self._repo}/check-runs/{check_id}/annotations")
        return {(item["path"], item["start_line"], item.get("title") or "") for item in items}

    # pull requests and their comments

    def comments(self, number: int) -> Iterator[Comment]:
        """Every comment of a pull request, oldest first."""
        return map(_comment, self._rest.pages(f"{self._repo}/issues/{number}/comments"))

    def create_comment(self, number: int, body: str) -> Comment:
        """A new comment."""
        return _comment(self._rest.request("POST", f"{self._repo}/issues/{number}/comments", json={"body": body}))

    def update_comment(self, comment_id: int, body: str) -> None:
        """Replace a comment's text."""
        path = f"{self._repo}/issues/comments/{comment_id}"
        self._rest.request("PATCH", path, json={"body": body}, repeatable=True)

    def delete_comment(self, comment_id: int) -> None:
        """Delete a comment; one that is gone already is fine."""
        try:
            self._rest.request("DELETE", f"{self._repo}/issues/comments/{comment_id}", repeatable=True)
        except ApiError as error:
            if error.status != 404:
                raise

    def pull_requests_of(self, commit: str) -> Iterator[PullRequest]:
        """The pull requests that hold a commit."""
        return map(_pull_request, self._rest.pages(f"{self._repo}/commits/{quote(commit, safe='')}/pulls"))

    # files in the repository

    def default_branch(self) -> str:
        """The repository's default branch."""
        return str(self._rest.get(self._repo)["default_branch"])

    def tip(self, ref: str) -> Tip | None:
        """Where `ref` (such as `heads/main`) points; None where there is no such ref."""
        try:
            found = self._rest.get(f"{self._repo}/git/ref/{quote(ref)}")
        except ApiError as error:
            if error.status in (404, 409):  # 409: the repository is empty
                return None
            raise
        commit = str(found["object"]["sha"])
        return Tip(commit=commit, tree=str(self._rest.get(f"{self._repo}/git/commits/{commit}")["tree"]["sha"]))

    def file_shas(self, directory: str, commit: str) -> dict[str, str]:
        """The git blob ids of the files directly in a directory at a commit, by name; empty where there is none."""
        listing = self._contents(directory, commit)
        entries = listing if isinstance(listing, list) else []
        return {entry["name"]: entry["sha"] for entry in entries if entry["type"] == "file"}

    def file(self, path: str, commit: str) -> bytes | None:
        """A file's content at a commit; None where there is none."""
        found = self._contents(path, commit)
        return base64.b64decode(found["content"]) if isinstance(found, dict) and found.get("content") else None

    def commit_files(self, files: Mapping[str, str], message: str, parent: Tip | None) -> str:
        """A commit that no ref points to yet: `parent` with these files (text by path) in place. Returns its id."""
        tree: dict[str, Json] = {
            "tree": [{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()]
        }
        if parent is not None:
            tree["base_tree"] = parent.tree
        made = self._rest.request("POST", f"{self._repo}/git/trees", json=tree, repeatable=True)
        body = {"message": message, "tree": made["sha"], "parents": [parent.commit] if parent else []}
        commit = self._rest.request("POST", f"{self._repo}/git/commits", json=body, repeatable=True)
        return str(commit["sha"])

    def create_ref(self, ref: str, commit: str) -> None:
        """Make a new ref (such as `heads/dt-badges`)."""
        self._rest.request("POST", f"{self._repo}/git/refs", json={"ref": f"refs/{ref}", "sha": commit})

    def move_ref(self, ref: str, commit: str) -> None:
        """Move a ref forward; the server refuses anything but a fast forward."""
        path = f"{self._repo}/git/refs/{quote(ref)}"
        self._rest.request("PATCH", path, json={"sha": commit, "force": False})

    def _contents(self, path: str, commit: str) -> Json:
        try:
            return self._rest.get(f"{self._repo}/contents/{quote(path)}", ref=commit)
        except ApiError as error:
            if error.status == 404:
                return None
            raise


def connect(
    api_url: str,
    repository: str,
    token: str,
    *,
    transport: Transport | None = None,
    sleep: Callable[[float], None] | None = None,
    write_pause_s: float = 1.0,
) -> GitHubApi:
    """The API at `api_url` (`GITHUB_API_URL`, so Enterprise Server too) for one repository."""
    headers = {
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "distributed-testing",
        "Authorization": f"Bearer {token}",
    }
    rest = Rest(url=api_url, headers=headers, transport=transport, write_pause_s=write_pause_s)
    if sleep is not None:
        rest.sleep = sleep
    return GitHubApi(rest, repository)


def annotation_key(annotation: Annotation) -> tuple[str, int, str]:
    """What tells an annotation of a check run from another, in the words that the server gives back."""
    return annotation.path, max(annotation.line, 1), annotation.title[:ANNOTATION_TITLE_CHARS]


def _annotation(annotation: Annotation) -> Json:
    path, line, title = annotation_key(annotation)
    entry: dict[str, Json] = {
        "path": path,
        "start_line": line,
        "end_line": line,
        "annotation_level": annotation.level,
        "message": cut_bytes(annotation.message or annotation.title or "failed", ANNOTATION_TEXT_BYTES - 1),
    }
    if title:
        entry["title"] = title
    if annotation.detail:
        entry["raw_details"] = cut_bytes(annotation.detail, ANNOTATION_TEXT_BYTES - 1)
    return entry


def _check_run(found: Json) -> CheckRun:
    return CheckRun(
        id=int(found["id"]),
        external_id=str(found.get("external_id") or ""),
        title=str((found.get("output") or {}).get("title") or ""),
        url=str(found.get("html_url") or ""),
    )


def _comment(found: Json) -> Comment:
    return Comment(
        id=int(found["id"]),
        body=str(found.get("body") or ""),
        is_bot=(found.get("user") or {}).get("type") == "Bot",
        association=str(found.get("author_association") or ""),
    )


def _pull_request(found: Json) -> PullRequest:
    base = found["base"].get("repo") or {}
    return PullRequest(
        number=int(found["number"]),
        is_open=found["state"] == "open",
        head_commit=str(found["head"]["sha"]),
        base_repository=str(base.get("full_name") or ""),
    )

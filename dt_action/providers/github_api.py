"""
GitHub's REST API: its paths, its JSON and its limits, which are known here alone.

Every limit is in bytes of UTF-8, since that is what the server counts although its reference says characters.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from dt_action.model.report import Annotation
from dt_action.providers.rest import ApiError, Json, Rest, Transport, understood
from dt_action.reports.formats.markdown_fit import cut_bytes

CHECK_TEXT_BYTES = 65_535
"""`output.summary` of a check run: https://docs.github.com/rest/checks/runs#create-a-check-run."""
CHECK_NAME_CHARS = 200
"""No limit of a check run's name is told; one that is longer is of no use in a list."""
ANNOTATIONS_PER_REQUEST = 50
ANNOTATION_TEXT_BYTES = 64 * 1024
ANNOTATION_TITLE_CHARS = 255
COMMENT_BYTES = 60_000
"""A comment may have 65,536 characters; what GitHub adds for itself counts too."""
SUMMARY_BYTES = 1024 * 1024
"""A step's summary above 1 MiB is dropped whole (actions/runner, `AttachmentSizeLimit`)."""

_AUTHOR_OF_JOBS = "github-actions[bot]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """A check run, as far as it matters here; `conclusion` is empty where it has none yet."""

    id: int
    name: str
    external_id: str
    title: str
    url: str
    conclusion: str = ""
    summary: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOutput:
    """What a check run shows; `text` stands below the summary."""

    title: str
    summary: str
    text: str = ""
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

    def create_check_run(
        self, name: str, commit: str, external_id: str, details_url: str, output: CheckOutput, conclusion: str
    ) -> CheckRun:
        """A check run at a commit, concluded from the start, so that nothing can leave it unfinished."""
        body: dict[str, Json] = {
            "name": name,
            "head_sha": commit,
            "external_id": external_id,
            "status": "completed",
            "conclusion": conclusion,
            "output": _output(output),
        }
        if details_url:
            body["details_url"] = details_url
        return _check_run(self._rest.request("POST", f"{self._repo}/check-runs", json=body))

    def check_runs(self, commit: str) -> Iterator[CheckRun]:
        """All check runs at a commit."""
        path = f"{self._repo}/commits/{quote(commit, safe='')}/check-runs"
        return map(_check_run, self._rest.pages(path, key="check_runs", filter="all"))

    def check_run(self, check_id: int) -> CheckRun:
        """One check run."""
        return _check_run(self._rest.get(f"{self._repo}/check-runs/{check_id}"))

    def update_check_run(self, check_id: int, output: CheckOutput, conclusion: str = "") -> CheckRun:
        """
        Set title and summary and *append* at most `ANNOTATIONS_PER_REQUEST` annotations; complete it if concluded.

        Repeatable only without annotations.
        """
        body: dict[str, Json] = {"output": _output(output)}
        if conclusion:
            body |= {"status": "completed", "conclusion": conclusion}
        path = f"{self._repo}/check-runs/{check_id}"
        return _check_run(self._rest.request("PATCH", path, json=body, repeatable=not output.annotations))

    @understood
    def annotation_keys(self, check_id: int) -> Counter[tuple[str, int, str]]:
        """Path, line and title of the annotations that a check run has, and how many have them."""
        items = self._rest.pages(f"{self._repo}/check-runs/{check_id}/annotations")
        return Counter((item["path"], item["start_line"], item.get("title") or "") for item in items)

    # pull requests and their comments

    def comments(self, number: int) -> Iterator[Comment]:
        """Every comment of a pull request, oldest first."""
        return map(_comment, self._rest.pages(f"{self._repo}/issues/{number}/comments"))

    def comment(self, comment_id: int) -> Comment | None:
        """One comment; None where it is gone."""
        try:
            return _comment(self._rest.get(f"{self._repo}/issues/comments/{comment_id}"))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create_comment(self, number: int, body: str) -> Comment:
        """A new comment."""
        return _comment(self._rest.request("POST", f"{self._repo}/issues/{number}/comments", json={"body": body}))

    def update_comment(self, comment_id: int, body: str) -> None:
        """Replace a comment's text."""
        path = f"{self._repo}/issues/comments/{comment_id}"
        self._rest.answer("PATCH", path, json={"body": body}, repeatable=True, is_spaced=False)

    def delete_comment(self, comment_id: int) -> None:
        """Delete a comment; one that is gone already is fine."""
        try:
            self._rest.request("DELETE", f"{self._repo}/issues/comments/{comment_id}", repeatable=True)
        except ApiError as error:
            if error.status != 404:
                raise

    @understood
    def react(self, comment_id: int, content: str) -> tuple[int, bool]:
        """
        The id of this token's reaction of that kind to a comment, and whether it is a new one.

        A user has one reaction of a kind: a second one is answered with 200 and the first, a new one with 201.
        https://docs.github.com/rest/reactions/reactions#create-reaction-for-an-issue-comment
        """
        path = f"{self._repo}/issues/comments/{comment_id}/reactions"
        response, found = self._rest.answer("POST", path, json={"content": content}, repeatable=True, is_spaced=False)
        return int(found["id"]), response.status_code == 201

    @understood
    def has_reaction(self, comment_id: int, content: str, reaction_id: int) -> bool:
        """True where a reaction is still there."""
        try:
            path = f"{self._repo}/issues/comments/{comment_id}/reactions"
            return any(item["id"] == reaction_id for item in self._rest.pages(path, content=content))
        except ApiError as error:
            if error.status == 404:
                return False
            raise

    def remove_reaction(self, comment_id: int, reaction_id: int) -> bool:
        """False where it was gone already."""
        try:
            path = f"{self._repo}/issues/comments/{comment_id}/reactions/{reaction_id}"
            self._rest.answer("DELETE", path, repeatable=True, is_spaced=False)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def pull_requests_of(self, commit: str, repository: str = "") -> Iterator[PullRequest]:
        """
        The pull requests that hold a commit, as `repository` (this one by default) knows them.

        A commit that is only in a fork is known there alone.
        """
        repo = f"repos/{repository}" if repository else self._repo
        return map(_pull_request, self._rest.pages(f"{repo}/commits/{quote(commit, safe='')}/pulls"))

    def pull_requests_from(self, owner: str, branch: str) -> Iterator[PullRequest]:
        """The open pull requests from a branch of somebody's repository into this one."""
        head = f"{owner}:{branch}"
        return map(_pull_request, self._rest.pages(f"{self._repo}/pulls", state="open", head=head))

    # files in the repository

    @understood
    def default_branch(self) -> str:
        """The repository's default branch."""
        return str(self._rest.get(self._repo)["default_branch"])

    @understood
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

    @understood
    def file_shas(self, directory: str, commit: str) -> dict[str, str]:
        """The git blob ids of the files directly in a directory at a commit, by name; empty where there is none."""
        listing = self._contents(directory, commit)
        entries = listing if isinstance(listing, list) else []
        return {entry["name"]: entry["sha"] for entry in entries if entry["type"] == "file"}

    @understood
    def file(self, path: str, commit: str) -> bytes | None:
        """A file's content at a commit; None where there is none."""
        found = self._contents(path, commit)
        return base64.b64decode(found["content"]) if isinstance(found, dict) and found.get("content") else None

    @understood
    def commit_files(
        self, files: Mapping[str, str], message: str, parent: Tip | None, *, is_for_branch: bool = False
    ) -> str:
        """
        A commit that no ref points to yet: `parent` with these files (text by path) in place. Returns its id.

        One that would start workflows once a branch holds it says in its message that it shall not. Those of a job's
        own token start none (https://docs.github.com/actions/concepts/security/github_token), and there the words
        would only keep a tag on the commit from starting any.
        """
        tree: dict[str, Json] = {
            "tree": [{"path": path, "mode": "100644", "type": "blob", "content": text} for path, text in files.items()]
        }
        if parent is not None:
            tree["base_tree"] = parent.tree
        made = self._rest.request("POST", f"{self._repo}/git/trees", json=tree, repeatable=True)
        body = {"message": message, "tree": made["sha"], "parents": [parent.commit] if parent else []}
        commit = self._rest.request("POST", f"{self._repo}/git/commits", json=body, repeatable=True)
        if is_for_branch and (commit.get("author") or {}).get("name") != _AUTHOR_OF_JOBS:
            body["message"] = f"{message} [skip ci]"
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


def _output(output: CheckOutput) -> Json:
    made: dict[str, Json] = {
        "title": output.title[:255] or "Tests",
        "summary": cut_bytes(output.summary, CHECK_TEXT_BYTES),
        "annotations": [_annotation(annotation) for annotation in output.annotations],
    }
    return {**made, "text": cut_bytes(output.text, CHECK_TEXT_BYTES)} if output.text else made


@understood
def _check_run(found: Json) -> CheckRun:
    output = found.get("output") or {}
    return CheckRun(
        id=int(found["id"]),
        name=str(found.get("name") or ""),
        external_id=str(found.get("external_id") or ""),
        title=str(output.get("title") or ""),
        url=str(found.get("html_url") or ""),
        conclusion=str(found.get("conclusion") or ""),
        summary=str(output.get("summary") or ""),
        text=str(output.get("text") or ""),
    )


@understood
def _comment(found: Json) -> Comment:
    return Comment(
        id=int(found["id"]),
        body=str(found.get("body") or ""),
        is_bot=(found.get("user") or {}).get("type") == "Bot",
        association=str(found.get("author_association") or ""),
    )


@understood
def _pull_request(found: Json) -> PullRequest:
    base = found["base"].get("repo") or {}
    return PullRequest(
        number=int(found["number"]),
        is_open=found["state"] == "open",
        head_commit=str(found["head"]["sha"]),
        base_repository=str(base.get("full_name") or ""),
    )

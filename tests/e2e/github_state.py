"""A repository as GitHub's API shows it: check runs, comments, pull requests and git objects, with their limits."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Json = Any
NAME = "team/app"


class RefusalError(Exception):
    """An answer of 4xx or 5xx."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


@dataclass
class Caller:
    """Who sends a request: what the token may write, and whether it is an app's."""

    login: str
    is_app: bool
    may_write: frozenset[str]

    def needs(self, what: str) -> None:
        if what not in self.may_write:
            raise RefusalError(403, "Resource not accessible by integration")


ALL = frozenset({"checks", "pull_requests", "contents"})
CALLERS = {
    "ghs_write": Caller("github-actions[bot]", True, ALL),
    "ghs_read": Caller("github-actions[bot]", True, frozenset()),
    "ghs_nochecks": Caller("github-actions[bot]", True, ALL - {"checks"}),
    "ghp_person": Caller("maintainer", False, ALL),
}


@dataclass
class Repository:
    """
    The state, and one method per operation; `operations` finds them by verb and path template.

    So many lists (`lists_lag`) lack a comment or check run that was just made, as those of a replica do. One that
    `keeps_no_astral` characters gives back a question mark for an emoji in a check run, as Enterprise Servers did.
    """

    default_branch: str = "main"
    lists_lag: int = 0
    keeps_no_astral: bool = False
    unseen: dict[int, int] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    checks: dict[int, Json] = field(default_factory=dict)
    annotations: dict[int, list[Json]] = field(default_factory=dict)
    comments: list[Json] = field(default_factory=list)
    reactions: dict[int, Json] = field(default_factory=dict)
    pulls: list[Json] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Json] = field(default_factory=dict)
    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    ids: Any = field(default_factory=lambda: itertools.count(100))

    def __post_init__(self) -> None:
        first = self._store_commit(self._store_tree({"README.md": self._store_blob(b"# app\n")}), [], "First")
        self.refs[f"heads/{self.default_branch}"] = first

    def operations(self) -> dict[tuple[str, str], Callable[..., tuple[int, Json]]]:
        repo = "/repos/{owner}/{repo}"
        return {
            ("GET", repo): self.get_repository,
            ("POST", f"{repo}/check-runs"): self.create_check,
            ("GET", f"{repo}/check-runs/{{check_run_id}}"): self.get_check,
            ("PATCH", f"{repo}/check-runs/{{check_run_id}}"): self.update_check,
            ("GET", f"{repo}/check-runs/{{check_run_id}}/annotations"): self.list_annotations,
            ("GET", f"{repo}/commits/{{ref}}/check-runs"): self.list_checks,
            ("GET", f"{repo}/commits/{{commit_sha}}/pulls"): self.list_pulls,
            ("GET", f"{repo}/pulls"): self.find_pulls,
            ("GET", f"{repo}/issues/{{issue_number}}/comments"): self.list_comments,
            ("GET", f"{repo}/issues/comments/{{comment_id}}"): self.get_comment,
            ("GET", f"{repo}/issues/comments/{{comment_id}}/reactions"): self.list_reactions,
            ("POST", f"{repo}/issues/comments/{{comment_id}}/reactions"): self.react,
            ("DELETE", f"{repo}/issues/comments/{{comment_id}}/reactions/{{reaction_id}}"): self.remove_reaction,
            ("POST", f"{repo}/issues/{{issue_number}}/comments"): self.create_comment,
            ("PATCH", f"{repo}/issues/comments/{{comment_id}}"): self.update_comment,
            ("DELETE", f"{repo}/issues/comments/{{comment_id}}"): self.delete_comment,
            ("GET", f"{repo}/contents/{{path}}"): self.contents,
            ("POST", f"{repo}/git/trees"): self.create_tree,
            ("POST", f"{repo}/git/commits"): self.create_commit,
            ("GET", f"{repo}/git/commits/{{commit_sha}}"): self.get_commit,
            ("GET", f"{repo}/git/ref/{{ref}}"): self.get_ref,
            ("POST", f"{repo}/git/refs"): self.create_ref,
            ("PATCH", f"{repo}/git/refs/{{ref}}"): self.move_ref,
        }

    def get_repository(self, _: Caller, **__: Json) -> tuple[int, Json]:
        return 200, {"full_name": NAME, "default_branch": self.default_branch}

    # check runs

    def create_check(self, caller: Caller, body: Json, **_: Json) -> tuple[int, Json]:
        self._may_check(caller)
        identity = next(self.ids)
        self.checks[identity] = {"id": identity, "output": _no_output(), "conclusion": None, "status": "queued"}
        self.annotations[identity] = []
        self._change_check(identity, body)
        return 201, self._check(identity)

    def update_check(self, caller: Caller, body: Json, check_run_id: str, **_: Json) -> tuple[int, Json]:
        self._may_check(caller)
        self._found(int(check_run_id) in self.checks)
        self._change_check(int(check_run_id), body)
        return 200, self._check(int(check_run_id))

    def get_check(self, _: Caller, check_run_id: str, **__: Json) -> tuple[int, Json]:
        self._found(int(check_run_id) in self.checks)
        return 200, self._check(int(check_run_id))

    def list_checks(self, _: Caller, ref: str, query: dict[str, str], **__: Json) -> tuple[int, Json]:
        runs = [check for check in self.checks.values() if check["head_sha"] == ref]
        runs = [check for check in runs if check["name"] == query.get("check_name", check["name"])]
        if query.get("filter", "latest") == "latest":  # of those of one name, the one that was made last
            runs = [*{check["name"]: check for check in runs}.values()]
        runs = self._listed(runs)
        page = _page(runs, query)
        return 200, {"total_count": len(runs), "check_runs": [self._check(check["id"]) for check in page]}

    def list_annotations(self, _: Caller, check_run_id: str, query: dict[str, str], **__: Json) -> tuple[int, Json]:
        self._found(int(check_run_id) in self.annotations)
        return 200, _page(self.annotations[int(check_run_id)], query)

    def _change_check(self, identity: int, body: Json) -> None:
        output = body.get("output")
        if output is not None:
            _check_output(output)
            self.annotations[identity] += [
                {"start_column": None, "end_column": None, "title": None, "raw_details": None, **item}
                for item in output.get("annotations", ())
            ]
            kept = {k: self._kept(v) for k, v in output.items() if k != "annotations"}
            self.checks[identity]["output"] = {"text": None, **kept}
        if body.get("status") == "completed" and "conclusion" not in body:
            raise RefusalError(422, "Invalid request. conclusion is required")
        self.checks[identity].update({key: value for key, value in body.items() if key != "output"})

    def _check(self, identity: int) -> Json:
        check = self.checks[identity]
        count = {"annotations_count": len(self.annotations[identity]), "annotations_url": "http://localhost/a"}
        html = f"http://localhost/{NAME}/runs/{identity}"
        return {"external_id": "", **check, "html_url": html, "output": {**check["output"], **count}}

    def _kept(self, text: str) -> str:
        return "".join("?" if ord(letter) > 0xFFFF else letter for letter in text) if self.keeps_no_astral else text

    def _may_check(self, caller: Caller) -> None:
        if not caller.is_app:
            raise RefusalError(403, "You must authenticate via a GitHub App.")
        caller.needs("checks")

    # comments and pull requests

    def list_comments(self, _: Caller, issue_number: str, query: dict[str, str], **__: Json) -> tuple[int, Json]:
        return 200, _page(self._listed([item for item in self.comments if item["issue"] == int(issue_number)]), query)

    def _listed(self, items: list[Json]) -> list[Json]:
        seen = []
        for item in items:
            left = self.unseen.setdefault(item["id"], self.lists_lag)
            self.unseen[item["id"]] = max(left - 1, 0)
            seen += [] if left else [item]
        return seen

    def create_comment(self, caller: Caller, body: Json, issue_number: str, **_: Json) -> tuple[int, Json]:
        caller.needs("pull_requests")
        return 201, self.add_comment(int(issue_number), body["body"], caller.login, is_bot=caller.is_app)

    def add_comment(self, number: int, text: str, login: str, *, is_bot: bool, association: str = "") -> Json:
        if len(text) > 65_536:
            raise RefusalError(422, "Validation Failed: body is too long (maximum is 65536 characters)")
        comment = {
            "id": next(self.ids),
            "issue": number,
            "body": text,
            "user": {"login": login, "type": "Bot" if is_bot else "User"},
            "author_association": association or ("NONE" if is_bot else "MEMBER"),
        }
        self.comments.append(comment)
        return comment

    def update_comment(self, caller: Caller, body: Json, comment_id: str, **_: Json) -> tuple[int, Json]:
        caller.needs("pull_requests")
        comment = self._comment(comment_id)
        if len(body["body"]) > 65_536:
            raise RefusalError(422, "Validation Failed: body is too long (maximum is 65536 characters)")
        comment["body"] = body["body"]
        return 200, comment

    def delete_comment(self, caller: Caller, comment_id: str, **_: Json) -> tuple[int, Json]:
        caller.needs("pull_requests")
        self._found(any(comment["id"] == int(comment_id) for comment in self.comments))
        self.comments = [comment for comment in self.comments if comment["id"] != int(comment_id)]
        self.reactions = {key: item for key, item in self.reactions.items() if item["comment"] != int(comment_id)}
        return 204, None

    def get_comment(self, _: Caller, comment_id: str, **__: Json) -> tuple[int, Json]:
        return 200, self._comment(comment_id)

    def _comment(self, comment_id: str) -> Json:
        found = [comment for comment in self.comments if comment["id"] == int(comment_id)]
        self._found(bool(found))
        return found[0]

    def list_reactions(self, _: Caller, comment_id: str, query: dict[str, str], **__: Json) -> tuple[int, Json]:
        self._comment(comment_id)
        found = [item for item in self.reactions.values() if item["comment"] == int(comment_id)]
        return 200, _page([item for item in found if item["content"] == query.get("content", item["content"])], query)

    def react(self, caller: Caller, body: Json, comment_id: str, **_: Json) -> tuple[int, Json]:
        """A user has one reaction of a kind to a comment; asking for a second one is answered with the first."""
        caller.needs("pull_requests")
        self._comment(comment_id)
        identity = (int(comment_id), body["content"], caller.login)
        for item in self.reactions.values():
            if (item["comment"], item["content"], item["user"]["login"]) == identity:
                return 200, item
        number = next(self.ids)
        self.reactions[number] = {
            "id": number,
            "comment": int(comment_id),
            "content": body["content"],
            "user": {"login": caller.login, "type": "Bot" if caller.is_app else "User"},
        }
        return 201, self.reactions[number]

    def remove_reaction(self, caller: Caller, comment_id: str, reaction_id: str, **_: Json) -> tuple[int, Json]:
        caller.needs("pull_requests")
        self._comment(comment_id)
        self._found(int(reaction_id) in self.reactions)
        del self.reactions[int(reaction_id)]
        return 204, None

    def list_pulls(
        self, _: Caller, commit_sha: str, query: dict[str, str], owner: str = "", repo: str = "", **__: Json
    ) -> tuple[int, Json]:
        """Asked of a repository, only for commits that are in it: a fork's are not in the one that it is a fork of."""
        known = [pull for pull in self.pulls if pull["head"]["sha"] == commit_sha]
        asked = f"{owner}/{repo}"
        return 200, _page([pull for pull in known if pull["head"]["repo"]["full_name"] == asked], query)

    def find_pulls(self, _: Caller, query: dict[str, str], owner: str, repo: str, **__: Json) -> tuple[int, Json]:
        """A `head` without an owner is no filter, as on GitHub."""
        state, head = query.get("state", "open"), query.get("head", "")
        found = [pull for pull in self.pulls if pull["base"]["repo"]["full_name"] == f"{owner}/{repo}"]
        found = [pull for pull in found if state in ("all", pull["state"])]
        return 200, _page([pull for pull in found if ":" not in head or pull["head"]["label"] in (head, "")], query)

    def add_pull(
        self, number: int, head: str, state: str = "open", base: str = NAME, repo: str = NAME, branch: str = ""
    ) -> None:
        """`head` is the commit on top of `branch` in `repo`; without a branch it is found by any."""
        label = f"{repo.partition('/')[0]}:{branch}" if branch else ""
        self.pulls.append(
            {
                "number": number,
                "state": state,
                "head": {"sha": head, "label": label, "ref": branch, "repo": {"full_name": repo}},
                "base": {"repo": {"full_name": base}},
            }
        )

    # git

    def contents(self, _: Caller, path: str, query: dict[str, str], **__: Json) -> tuple[int, Json]:
        ref = query.get("ref", self.default_branch)
        commit = self.commits.get(ref) or self.commits.get(self.refs.get(f"heads/{ref}", ""))
        self._found(commit is not None)
        files = self.trees[commit["tree"]]
        if path in files:
            data = self.blobs[files[path]]
            content = base64.encodebytes(data).decode()
            entry = self._entry(path, files[path])
            return 200, {**entry, "encoding": "base64", "content": content, "size": len(data)}
        inside = {name: sha for name, sha in files.items() if name.startswith(f"{path}/")}
        self._found(bool(inside))
        return 200, [self._entry(name, sha) for name, sha in inside.items() if "/" not in name[len(path) + 1 :]]

    def _entry(self, path: str, sha: str) -> Json:
        return {"type": "file", "name": path.rsplit("/", 1)[-1], "path": path, "sha": sha}

    def create_tree(self, caller: Caller, body: Json, **_: Json) -> tuple[int, Json]:
        caller.needs("contents")
        base = body.get("base_tree")
        if base is not None and base not in self.trees:
            raise RefusalError(422, "base_tree is not a valid tree oid")
        files = dict(self.trees[base]) if base else {}
        for entry in body["tree"]:
            sha = self._store_blob(entry["content"].encode()) if "content" in entry else entry["sha"]
            files[entry["path"]] = sha
        tree = self._store_tree(files)
        listing = [{"path": name, "mode": "100644", "type": "blob", "sha": sha} for name, sha in files.items()]
        return 201, {"sha": tree, "truncated": False, "tree": listing}

    def create_commit(self, caller: Caller, body: Json, **_: Json) -> tuple[int, Json]:
        caller.needs("contents")
        if body["tree"] not in self.trees or any(parent not in self.commits for parent in body.get("parents", ())):
            raise RefusalError(422, "Tree SHA or a parent does not exist")
        sha = self._store_commit(body["tree"], body.get("parents", []), body["message"], caller.login)
        return 201, self._commit(sha)

    def get_commit(self, _: Caller, commit_sha: str, **__: Json) -> tuple[int, Json]:
        self._found(commit_sha in self.commits)
        return 200, self._commit(commit_sha)

    def get_ref(self, _: Caller, ref: str, **__: Json) -> tuple[int, Json]:
        self._found(ref in self.refs)
        return 200, self._ref(ref)

    def create_ref(self, caller: Caller, body: Json, **_: Json) -> tuple[int, Json]:
        caller.needs("contents")
        ref = body["ref"].removeprefix("refs/")
        if not body["ref"].startswith("refs/") or body["ref"].count("/") < 2:
            raise RefusalError(422, "Reference name is not valid")
        if ref in self.refs:
            raise RefusalError(422, "Reference already exists")
        self.refs[ref] = body["sha"]
        return 201, self._ref(ref)

    def move_ref(self, caller: Caller, body: Json, ref: str, **_: Json) -> tuple[int, Json]:
        caller.needs("contents")
        if ref not in self.refs:
            raise RefusalError(422, "Reference does not exist")
        if ref.removeprefix("heads/") in self.protected:
            raise RefusalError(422, "Repository rule violations found: Changes must be made through a pull request.")
        if not body.get("force") and self.refs[ref] not in self.ancestry(body["sha"]):
            raise RefusalError(422, "Update is not a fast forward")
        self.refs[ref] = body["sha"]
        return 200, self._ref(ref)

    def ancestry(self, commit: str) -> list[str]:
        """A commit and all before it, newest first."""
        found, waiting = [], [commit]
        while waiting:
            sha = waiting.pop()
            if sha not in found and sha in self.commits:
                found.append(sha)
                waiting += self.commits[sha]["parents"]
        return found

    def files(self, branch: str) -> dict[str, bytes]:
        """What a branch holds."""
        tree = self.trees[self.commits[self.refs[f"heads/{branch}"]]["tree"]]
        return {path: self.blobs[sha] for path, sha in tree.items()}

    def _ref(self, ref: str) -> Json:
        return {"ref": f"refs/{ref}", "object": {"type": "commit", "sha": self.refs[ref]}}

    def _commit(self, sha: str) -> Json:
        commit = self.commits[sha]
        parents = [{"sha": parent} for parent in commit["parents"]]
        author = {
            "name": commit["author"],
            "email": f"{commit['author']}@users.noreply",
            "date": "2026-01-01T00:00:00Z",
        }
        who = {"author": author, "committer": author}
        return {"sha": sha, "tree": {"sha": commit["tree"]}, "parents": parents, "message": commit["message"], **who}

    def _store_blob(self, data: bytes) -> str:
        sha = _sha(b"blob %d\0" % len(data) + data)
        self.blobs[sha] = data
        return sha

    def _store_tree(self, files: dict[str, str]) -> str:
        sha = _sha(b"tree" + json.dumps(files, sort_keys=True).encode())
        self.trees[sha] = files
        return sha

    def _store_commit(self, tree: str, parents: list[str], message: str, author: str = "maintainer") -> str:
        sha = _sha(f"commit {tree} {parents} {message} {next(self.ids)}".encode())
        self.commits[sha] = {"tree": tree, "parents": parents, "message": message, "author": author}
        return sha

    @staticmethod
    def _found(condition: bool) -> None:
        if not condition:
            raise RefusalError(404, "Not Found")


def _no_output() -> Json:
    return {"title": None, "summary": None, "text": None}


def _check_output(output: Json) -> None:
    if not output.get("title") or "summary" not in output:
        raise RefusalError(422, "Invalid request. title and summary are required")
    for name in ("summary", "text"):
        if len((output.get(name) or "").encode()) > 65_535:
            raise RefusalError(422, f"{name} exceeds a maximum bytesize of 65535")
    annotations = output.get("annotations", ())
    if len(annotations) > 50:
        raise RefusalError(422, "Invalid request. No more than 50 items are allowed")
    for item in annotations:
        long = [name for name in ("message", "raw_details") if len((item.get(name) or "").encode()) > 64 * 1024]
        if long or len(item.get("title") or "") > 255 or item["start_line"] < 1:
            raise RefusalError(422, f"Invalid annotation: {long or 'title or line'}")


def _page(items: list[Json], query: dict[str, str]) -> list[Json]:
    size = min(int(query.get("per_page", 30)), 100)
    start = (int(query.get("page", 1)) - 1) * size
    return items[start : start + size]


def _sha(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()

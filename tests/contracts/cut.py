"""
Cuts GitHub's OpenAPI description to the operations that dt_action calls: `python cut.py github-api.json > small.json`.

Descriptions and examples go; every rule stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

USED = {
    "/repos/{owner}/{repo}": ("get",),
    "/repos/{owner}/{repo}/check-runs": ("post",),
    "/repos/{owner}/{repo}/check-runs/{check_run_id}": ("get", "patch"),
    "/repos/{owner}/{repo}/check-runs/{check_run_id}/annotations": ("get",),
    "/repos/{owner}/{repo}/commits/{ref}/check-runs": ("get",),
    "/repos/{owner}/{repo}/commits/{commit_sha}/pulls": ("get",),
    "/repos/{owner}/{repo}/issues/{issue_number}/comments": ("get", "post"),
    "/repos/{owner}/{repo}/issues/comments/{comment_id}": ("get", "patch", "delete"),
    "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions": ("get", "post"),
    "/repos/{owner}/{repo}/issues/comments/{comment_id}/reactions/{reaction_id}": ("delete",),
    "/repos/{owner}/{repo}/pulls": ("get",),
    "/repos/{owner}/{repo}/contents/{path}": ("get",),
    "/repos/{owner}/{repo}/git/trees": ("post",),
    "/repos/{owner}/{repo}/git/commits": ("post",),
    "/repos/{owner}/{repo}/git/commits/{commit_sha}": ("get",),
    "/repos/{owner}/{repo}/git/ref/{ref}": ("get",),
    "/repos/{owner}/{repo}/git/refs": ("post",),
    "/repos/{owner}/{repo}/git/refs/{ref}": ("patch",),
}


def cut(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the used operations and all that they refer to."""
    paths = {path: {verb: document["paths"][path][verb] for verb in verbs} for path, verbs in USED.items()}
    small: dict[str, Any] = {key: document[key] for key in ("openapi", "info", "servers") if key in document}
    small["paths"] = _bare(paths)
    small["components"] = {}
    waiting = _references(small["paths"])
    done: set[str] = set()
    while waiting:
        reference = waiting.pop()
        if reference in done:
            continue
        done.add(reference)
        _, _, kind, name = reference.split("/")
        part = _bare(document["components"][kind][name])
        small["components"].setdefault(kind, {})[name] = part
        waiting |= _references(part)
    return small


def _bare(part: Any, *, is_properties: bool = False) -> Any:
    if isinstance(part, dict):
        dropped = set() if is_properties else {"description", "summary", "examples", "example", "externalDocs", "tags"}
        return {
            key: _bare(value, is_properties=key == "properties" and not is_properties)
            for key, value in part.items()
            if key not in dropped and not key.startswith("x-")
        }
    return [_bare(item) for item in part] if isinstance(part, list) else part


def _references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(_references(value) for value in part.values()))
    return set().union(*map(_references, part)) if isinstance(part, list) else set()


if __name__ == "__main__":
    whole = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(cut(whole), separators=(",", ":"), sort_keys=True))

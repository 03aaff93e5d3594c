"""A process of its own that analyses a share of the files: JSON in on standard input, JSON out."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dt_action.analysis.codec import encode
from dt_action.analysis.explicit import PathRule
from dt_action.analysis.project import Project
from dt_action.analysis.summary import analyze_file
from dt_action.analysis.vocabulary import built_in

Found = dict[str, tuple[dict[str, Any], Mapping[str, str]]]
"""Encoded needs and the digests of what they were drawn from, by path."""


_HOME = str(Path(__file__).resolve().parents[2])


def analyze_here(root: Path, paths: Iterable[str], rules: Sequence[PathRule], rows: Mapping[str, str]) -> Found:
    """Analyse files in this process; `rows` are the project's own of the vocabulary."""
    project = Project(root, built_in().with_rows(rows))
    found: Found = {}
    for path in paths:
        needs = analyze_file(project, path, rules)
        found[path] = (encode(needs), project.sources_of(path))
        project.forget(path)
    return found


def analyze_apart(
    root: Path, paths: Sequence[str], rules: Sequence[PathRule], rows: Mapping[str, str], *, processes: int
) -> Found:
    """
    Analyse files in processes of their own, so that the caller's `__main__` and threads do not matter.

    The share of a process that dies is analysed here.
    """
    size = -(-len(paths) // processes)
    shares = [paths[start : start + size] for start in range(0, len(paths), size)]
    running = [(share, _start()) for share in shares]
    found: Found = {}
    for share, process in running:
        task = {
            "root": str(root),
            "paths": share,
            "rules": [[rule.pattern, dict(rule.fields), rule.source] for rule in rules],
            "vocabulary": dict(rows),
        }
        assert process.stdin is not None  # noqa: S101 - Popen was given a pipe
        process.stdin.write(json.dumps(task).encode())
        process.stdin.close()
    for share, process in running:
        assert process.stdout is not None  # noqa: S101 - as above
        answer = process.stdout.read()
        process.stdout.close()
        is_whole = process.wait() == 0
        found |= json.loads(answer) if is_whole else analyze_here(root, share, rules, rows)
    return found


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {_HOME!r}); from {__name__} import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def main() -> None:
    """Analyse what standard input names."""
    gc.disable()  # syntax trees are many objects and no cycles
    task = json.load(sys.stdin)
    rules = [PathRule(pattern=pattern, fields=fields, source=source) for pattern, fields, source in task["rules"]]
    json.dump(analyze_here(Path(task["root"]), task["paths"], rules, task["vocabulary"]), sys.stdout)

"""Runs and publications to publish in tests."""

from __future__ import annotations

import json
from pathlib import Path

from dt_action.model.case import Attempt, Outcome, TestCase, TestResult
from dt_action.model.report import Annotation, Badge, Document, Publication
from dt_action.model.run import Run


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


def pull_request_event(tmp_path: Path, *, fork: bool = False, number: int = 7) -> Path:
    """The event of a pull request, as the runner writes it."""
    event = {
        "repository": {"full_name": "team/app", "default_branch": "main"},
        "pull_request": {
            "number": number,
            "head": {"sha": "a" * 40, "ref": "feature", "repo": {"full_name": "stranger/app" if fork else "team/app"}},
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

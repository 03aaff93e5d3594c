"""What is told of a run: documents, annotations and badges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dt_action.model.run import Conclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFormat:
    """
    A form in which a run is written down: what its files' names end with, and other words that mean it.

    Its file is the output `report_OUTPUT` of a CI job's step; it is none where that is empty.
    """

    suffix: str
    output: str = ""
    aliases: tuple[str, ...] = ()


FORMATS: Mapping[str, ReportFormat] = {
    "json": ReportFormat(suffix=".json", output="json"),
    "md": ReportFormat(suffix=".md", output="md", aliases=("markdown",)),
    "html": ReportFormat(suffix=".html", output="html"),
    "xml": ReportFormat(suffix=".xml", output="junit", aliases=("junit",)),
    "ctrf": ReportFormat(suffix=".ctrf.json", output="ctrf"),
    "codequality": ReportFormat(suffix=".codequality.json", aliases=("gitlab",)),
    "sarif": ReportFormat(suffix=".sarif"),
}
"""The formats by their word for `--report-formats`. `xml` is JUnit and is always written."""


def is_json_report(name: str) -> bool:
    """True where a file of this name is the report that holds everything, and not one of another format in JSON."""
    others = tuple(form.suffix for word, form in FORMATS.items() if word != "json")
    return name.endswith(FORMATS["json"].suffix) and not name.endswith(others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A finished document: `name` is its file name, `format` the word a user asks for it by (`json`, `md`, `html`)."""

    name: str
    format: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A remark on a line of the code (from 1), for a CI service to show beside it."""

    path: str
    line: int
    level: Literal["notice", "warning", "failure"]
    title: str
    message: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What tests came to. `failed` are those that count: a failure that is tolerated is in neither number."""

    conclusion: Conclusion
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """
    A badge: `name` is its file name without ending; `color` is a name that shields.io knows.

    `standing` or `percent` is what it was made of, where it can be added up with the badge of another job.
    """

    name: str
    label: str
    message: str
    color: str
    standing: Standing | None = None
    percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """
    All that is to be told of one run: what a Provider is handed.

    `problems` are documents that could not be written, in words.
    """

    title: str
    summary_markdown: str
    documents: tuple[Document, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    badges: tuple[Badge, ...] = ()
    problems: tuple[str, ...] = ()

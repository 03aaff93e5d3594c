"""What is told of a run: documents, annotations and badges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
class Badge:
    """A badge: `name` is its file name without ending; `color` is a name that shields.io knows."""

    name: str
    label: str
    message: str
    color: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """All that is to be told of one run: what a Provider is handed."""

    title: str
    summary_markdown: str
    documents: tuple[Document, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    badges: tuple[Badge, ...] = ()

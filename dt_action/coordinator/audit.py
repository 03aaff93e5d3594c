"""Who did what: read in the order in which it happened, for the terminal, the dashboard and an export."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa

from dt_action.coordinator.store import AUDIT, rows_of

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One act. `at` is Unix time in seconds, `request` the id that the log has, too."""

    id: int
    at: float
    who: str
    what: str
    detail: str
    request: str

    def as_jsonable(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def entries(
    engine: sa.Engine, *, since: float = 0.0, words: str = "", before: int = 0, most: int = PAGE
) -> list[Entry]:
    """The latest entries, the newest first; `words` must stand in one of the texts, `before` is an id to go on from."""
    chosen = sa.select(AUDIT).where(AUDIT.c.at >= since)
    if before:
        chosen = chosen.where(AUDIT.c.id < before)
    if words:
        chosen = chosen.where(
            sa.or_(
                *(column.icontains(words, autoescape=True) for column in (AUDIT.c.who, AUDIT.c.what, AUDIT.c.detail))
            )
        )
    rows = rows_of(engine, chosen.order_by(AUDIT.c.id.desc()).limit(most))
    return [
        Entry(id=row.id, at=row.at, who=row.who, what=row.what, detail=row.detail, request=row.request) for row in rows
    ]


def all_entries(engine: sa.Engine, *, since: float = 0.0) -> Iterator[Entry]:
    """Every entry since then, the oldest first, page by page."""
    after = 0
    while True:
        chosen = sa.select(AUDIT).where(AUDIT.c.id > after, AUDIT.c.at >= since).order_by(AUDIT.c.id).limit(PAGE)
        rows = rows_of(engine, chosen)
        for row in rows:
            yield Entry(id=row.id, at=row.at, who=row.who, what=row.what, detail=row.detail, request=row.request)
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def as_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """For a spreadsheet, line by line. It would take a text that begins with `=` for a formula."""
    yield _csv_line([field.name for field in fields(Entry)])
    for entry in entries:
        yield _csv_line([_no_formula(str(value)) for value in entry.as_jsonable().values()])


def _csv_line(cells: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerow(cells)
    return written.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text

"""What is told of tests: a run's results page by page, one result whole, how a test fared, which ones are flaky."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dt_action.coordinator.auth import Caller
from dt_action.coordinator.store import EVENTS, RESULTS, RUNS, case_key, rows_of, storable
from dt_action.coordinator.views import visible_to
from dt_action.model.case import FAILING

PAGE = 100
MOST_DRAWN = 2000
MOST_LOGS = 500
_IS_FAILING = RESULTS.c.outcome.in_(sorted(FAILING))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which results of a run: with these words in the name, this outcome (`failing` for all that fail), on a worker."""

    words: str = ""
    outcome: str = ""
    worker: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of results, and how many there are on all pages."""

    rows: Sequence[Any]
    count: int

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.count // PAGE))


def results_of(engine: sa.Engine, run: str, wanted: Wanted) -> Found:
    """A page of a run's final results: failures first, then the slowest."""
    conditions = [RESULTS.c.run == run]
    if wanted.words:
        conditions.append(RESULTS.c.case.icontains(storable(wanted.words), autoescape=True))
    if wanted.outcome == "failing":
        conditions.append(_IS_FAILING)
    elif wanted.outcome == "flaky":
        conditions.append(RESULTS.c.is_flaky)
    elif wanted.outcome:
        conditions.append(RESULTS.c.outcome == storable(wanted.outcome))
    if wanted.worker:
        conditions.append(RESULTS.c.worker == storable(wanted.worker))
    chosen = sa.select(RESULTS).where(*conditions)
    order = sa.case((_IS_FAILING, 0), else_=1), RESULTS.c.duration_s.desc(), RESULTS.c.event
    rows = rows_of(engine, chosen.order_by(*order).offset((wanted.page - 1) * PAGE).limit(PAGE))
    count = sa.select(sa.func.count()).select_from(RESULTS).where(*conditions)
    return Found(rows=rows, count=rows_of(engine, count)[0][0])


def longest_of(engine: sa.Engine, run: str) -> Sequence[Any]:
    """The results that took the longest, for a picture of where the time went."""
    chosen = sa.select(RESULTS).where(RESULTS.c.run == run)
    return rows_of(engine, chosen.order_by(RESULTS.c.duration_s.desc()).limit(MOST_DRAWN))


def attempts_of(engine: sa.Engine, run: str, event: int) -> list[dict[str, Any]]:
    """
    Every attempt of the case whose final result is this event, the last one first; empty where there is no such result.

    Each has `case` and the fields of `model.case.Attempt`.
    """
    mine = sa.select(EVENTS.c.payload).where(
        EVENTS.c.run == run, EVENTS.c.seq == event, EVENTS.c.kind == "CaseFinished"
    )
    final = rows_of(engine, mine)
    if not final:
        return []
    finished = json.loads(final[0].payload)
    if not finished.get("case", {}).get("id"):
        return []
    named = json.dumps({"id": finished["case"]["id"]}, separators=(",", ":"))[1:-1]
    earlier = sa.select(EVENTS.c.payload).where(
        EVENTS.c.run == run,
        EVENTS.c.seq < event,
        EVENTS.c.kind == "CaseFinished",
        EVENTS.c.payload.contains(named, autoescape=True),
    )
    told = [json.loads(row.payload) for row in rows_of(engine, earlier.order_by(EVENTS.c.seq.desc()).limit(20))]
    same = [each for each in told if each["case"]["id"] == finished["case"]["id"]]
    return [{"case": each["case"], "outcome": "", **each["attempt"]} for each in (finished, *same)]


def tails_of(engine: sa.Engine, run: str, events: Sequence[int], *, most: int = 4000) -> dict[int, str]:
    """The last of the traceback of each of these results, by its event."""
    if not events:
        return {}
    chosen = sa.select(EVENTS.c.seq, EVENTS.c.payload).where(EVENTS.c.run == run, EVENTS.c.seq.in_(events))
    told = {row.seq: json.loads(row.payload).get("attempt", {}) for row in rows_of(engine, chosen)}
    return {seq: str(attempt.get("detail") or attempt.get("message") or "")[-most:] for seq, attempt in told.items()}


def logs_of(engine: sa.Engine, run: str, slot: str = "") -> list[dict[str, Any]]:
    """What slots printed outside of captured tests, and what the run told: the last of it, in its order."""
    chosen = sa.select(EVENTS.c.kind, EVENTS.c.at, EVENTS.c.payload).where(
        EVENTS.c.run == run, EVENTS.c.kind.in_(("Logged", "Notice", "Refused"))
    )
    rows = rows_of(engine, chosen.order_by(EVENTS.c.seq.desc()).limit(MOST_LOGS))[::-1]
    told = [{"kind": row.kind, "at": row.at, **json.loads(row.payload)} for row in rows]
    return [each for each in told if not slot or each.get("slot") == slot]


def history_of(engine: sa.Engine, case: str, repository: str, *, most: int = 100) -> list[Any]:
    """The final results of a test in the runs that are kept, the newest first."""
    chosen = sa.select(RESULTS).where(
        RESULTS.c.case_key == case_key(case), RESULTS.c.repository == storable(repository)
    )
    return [*rows_of(engine, chosen.order_by(RESULTS.c.started_at.desc()).limit(most))]


def flaky(engine: sa.Engine, caller: Caller, *, days: int = 30, most: int = 200) -> list[dict[str, Any]]:
    """The tests that passed after a failed attempt lately, those that did so most often first."""
    since = time.time() - days * 86400
    chosen = (
        sa.select(
            RESULTS.c.case_key,
            RESULTS.c.repository,
            sa.func.max(RESULTS.c.case).label("case"),
            sa.func.count().label("times"),
            sa.func.count(RESULTS.c.worker.distinct()).label("workers"),
            sa.func.max(RESULTS.c.started_at).label("last_at"),
        )
        .join(RUNS, RUNS.c.id == RESULTS.c.run)
        .where(RESULTS.c.is_flaky, RESULTS.c.started_at > since, visible_to(caller))
        .group_by(RESULTS.c.case_key, RESULTS.c.repository)
        .order_by(sa.desc("times"), sa.desc("last_at"))
        .limit(most)
    )
    return [dict(row._mapping) for row in rows_of(engine, chosen)]

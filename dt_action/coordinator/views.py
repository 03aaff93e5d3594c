"""What is told of the state: runs, workers, results, and why something waits. Reads only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dt_action.coordinator.allocation import takes
from dt_action.coordinator.auth import Caller
from dt_action.coordinator.conclusions import conclusion_of, failing
from dt_action.coordinator.desk import Desk
from dt_action.coordinator.live_run import LiveLease
from dt_action.coordinator.store import EVENTS, RESULTS, RUNS, WORKERS, rows_of, storable
from dt_action.model.json_codec import to_jsonable

if TYPE_CHECKING:
    from dt_action.coordinator.service import Service


def visible_to(caller: Caller) -> sa.ColumnElement[bool]:
    """Which rows of `runs` the caller may see, as `Caller.may_see` has it."""
    if "admin" in caller.scopes:
        return sa.true()
    its_own = RUNS.c.owner == caller.name
    if "read" not in caller.scopes:
        return its_own
    return sa.or_(its_own, RUNS.c.repository.in_(caller.repositories)) if caller.repositories else sa.true()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    Which runs are wanted. `words` must stand in the id, repository, branch, commit or owner; `before` is the id of the
    last run of the page before.
    """

    words: str = ""
    repository: str = ""
    conclusion: str = ""
    before: str = ""
    most: int = 50


def runs(service: Service, caller: Caller, wanted: Wanted) -> list[dict[str, Any]]:
    """The latest runs that the caller may see and that are wanted, the newest first."""
    chosen = sa.select(RUNS).where(visible_to(caller))
    if wanted.repository:
        chosen = chosen.where(RUNS.c.repository == storable(wanted.repository))
    if wanted.conclusion == "running":
        chosen = chosen.where(RUNS.c.ended_at.is_(None))
    elif wanted.conclusion:
        chosen = chosen.where(RUNS.c.conclusion == storable(wanted.conclusion), RUNS.c.ended_at.is_not(None))
    if wanted.words:
        columns = (RUNS.c.id, RUNS.c.repository, RUNS.c.branch, RUNS.c.commit, RUNS.c.owner)
        chosen = chosen.where(
            sa.or_(*(column.icontains(storable(wanted.words), autoescape=True) for column in columns))
        )
    if wanted.before:
        last = sa.select(RUNS.c.created_at).where(RUNS.c.id == storable(wanted.before)).scalar_subquery()
        is_same = sa.and_(RUNS.c.created_at == last, RUNS.c.id < storable(wanted.before))
        chosen = chosen.where(sa.or_(RUNS.c.created_at < last, is_same))
    chosen = chosen.order_by(RUNS.c.created_at.desc(), RUNS.c.id.desc()).limit(wanted.most)
    return [_run(service, row) for row in rows_of(service.engine, chosen)]


def run(service: Service, run_id: str) -> dict[str, Any] | None:
    """One run; None where there is none."""
    rows = rows_of(service.engine, sa.select(RUNS).where(RUNS.c.id == run_id))
    return _run(service, rows[0]) if rows else None


def _run(service: Service, row: Any) -> dict[str, Any]:
    live = service.desk.runs.get(row.id)
    totals = live.totals() if live is not None and not live.is_over else json.loads(row.totals)
    return {
        "id": row.id,
        "owner": row.owner,
        "repository": row.repository,
        "branch": row.branch,
        "commit": row.commit,
        "build_url": row.build_url,
        "priority": row.priority,
        "status": row.status,
        "conclusion": conclusion_of(row.status, totals),
        "reason": row.reason,
        "created_at": row.created_at,
        "ended_at": row.ended_at,
        "totals": totals,
        "failing": failing(totals),
        "slots": len(live.leases) if live is not None else 0,
    }


def workers(desk: Desk, caller: Caller) -> list[dict[str, Any]]:
    """
    Every worker, by name. To be called by the writer's thread.

    Of a run that the caller may not see, nothing is told but that it has a slot.
    """
    told = []
    for worker in sorted(desk.workers.values(), key=lambda worker: worker.name):
        leases = desk.leases.on(worker.id)
        told.append(
            {
                "id": worker.id,
                "name": worker.name,
                "state": "silent" if worker.is_silent else worker.state,
                "slots": worker.slots,
                "busy": len(leases),
                "silent_s": round(desk.silence_s(worker), 1),
                "version": worker.version,
                "enrolled_at": worker.enrolled_at,
                "reason": worker.reason,
                "vitals": None if worker.vitals is None else to_jsonable(worker.vitals),
                "log": [*worker.log] if "admin" in caller.scopes else [],
                "capability": to_jsonable(worker.capability),
                "doing": [_doing(desk, lease, caller) for lease in leases],
            }
        )
    return told


def removed_workers(engine: sa.Engine) -> list[dict[str, Any]]:
    """The workers that an operator removed, and that may not enrol again."""
    chosen = sa.select(WORKERS).where(WORKERS.c.state == "removed").order_by(WORKERS.c.name).limit(500)
    return [
        {
            "id": row.id,
            "name": row.name,
            "state": "removed",
            "slots": row.slots,
            "busy": 0,
            "silent_s": round(time.time() - row.seen_at, 1),
            "version": row.version,
            "enrolled_at": row.enrolled_at,
            "reason": row.reason,
            "vitals": None,
            "log": [],
            "capability": json.loads(row.capability),
            "doing": [],
        }
        for row in rows_of(engine, chosen)
    ]


def _doing(desk: Desk, lease: LiveLease, caller: Caller) -> dict[str, Any]:
    run = desk.runs.get(lease.run)
    if run is None or not caller.may_see(run.owner, run.repository):
        return {"run": "", "slot": lease.slot, "case": "", "since": lease.since}
    return {"run": lease.run, "slot": lease.slot, "case": lease.running, "since": lease.since}


def why_waiting(desk: Desk, run_id: str) -> list[dict[str, str]]:
    """What waits in a run, and for what, in words. To be called by the writer's thread."""
    live = desk.runs.get(run_id)
    if live is None or live.is_over:
        return []
    if not desk.workers:
        return [{"file": file.path, "why": "no worker has enrolled"} for file in live.submission.plan.files[:50]]
    capabilities = {worker.name: worker.capability for worker in desk.workers.values()}
    if not any(takes(had, live.submission.start.isolation) for had in capabilities.values()):
        return [{"file": "", "why": "waits for a worker that runs tests in containers: none has enrolled"}]
    waiting = [{"file": file, "why": why} for file, why in live.state.why_waiting()]
    if not waiting and not live.leases:
        return [{"file": "", "why": "waits for a free slot: all are taken by other runs"}]
    return waiting[:200]


def results(service: Service, run_id: str) -> Iterator[str]:
    """The final outcomes as lines of JSON, page by page."""
    after = 0
    while True:
        statement = (
            sa.select(RESULTS.c.event, EVENTS.c.payload)
            .join(EVENTS, sa.and_(EVENTS.c.run == RESULTS.c.run, EVENTS.c.seq == RESULTS.c.event))
            .where(RESULTS.c.run == run_id, RESULTS.c.event > after)
            .order_by(RESULTS.c.event)
            .limit(500)
        )
        rows = rows_of(service.engine, statement)
        if not rows:
            return
        for row in rows:
            finished = json.loads(row.payload)
            attempt = finished["attempt"]
            yield json.dumps({"id": finished["case"]["id"], "file": finished["case"]["file"], **attempt}) + "\n"
        after = rows[-1].event

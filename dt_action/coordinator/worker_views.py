"""What is told of workers: one of them with all that is known of it, and the hardware of all against what waits."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from dt_action.coordinator.auth import Caller
from dt_action.coordinator.desk import Desk
from dt_action.coordinator.store import LEASES, RESULTS, RUNS, rows_of
from dt_action.coordinator.views import visible_to
from dt_action.model.case import FAILING

RECENT_LEASES = 200


def failures_on(engine: sa.Engine, caller: Caller, worker: str, name: str) -> list[dict[str, Any]]:
    """What failed on a worker in the runs that it took part in lately, the newest first."""
    lately = sa.select(LEASES.c.run).where(LEASES.c.worker == worker).order_by(LEASES.c.opened_at.desc())
    runs = {row.run for row in rows_of(engine, lately.limit(RECENT_LEASES))}
    if not runs:
        return []
    chosen = (
        sa.select(RESULTS)
        .join(RUNS, RUNS.c.id == RESULTS.c.run)
        .where(RESULTS.c.run.in_(runs), RESULTS.c.worker == name, RESULTS.c.outcome.in_(sorted(FAILING)))
        .where(visible_to(caller))
    )
    return [dict(row._mapping) for row in rows_of(engine, chosen.order_by(RESULTS.c.started_at.desc()).limit(50))]


def losses_of(engine: sa.Engine, worker: str) -> list[Any]:
    """The leases that a worker lost, because it was not heard of or was started anew, the newest first."""
    chosen = sa.select(LEASES).where(LEASES.c.worker == worker, LEASES.c.state == "lost")
    return [*rows_of(engine, chosen.order_by(LEASES.c.closed_at.desc()).limit(20))]


def hardware(desk: Desk) -> dict[str, Any]:
    """
    Which worker has which devices, and what waits for which. To be called by the writer's thread.

    `kinds` are the columns; of each worker, `devices` has how many it has of a kind, and `names` which.
    """
    kinds: set[str] = set()
    rows = []
    for worker in sorted(desk.workers.values(), key=lambda worker: worker.name):
        devices = Counter(device.kind for device in worker.capability.devices)
        names: dict[str, set[str]] = {}
        for device in worker.capability.devices:
            names.setdefault(device.kind, set()).add(device.name or device.kind)
        kinds |= {*devices}
        rows.append(
            {
                "id": worker.id,
                "name": worker.name,
                "state": "silent" if worker.is_silent else worker.state,
                "platform": worker.capability.platform,
                "memory_bytes": worker.capability.memory_bytes,
                "slots": worker.slots,
                "busy": len(desk.leases.on(worker.id)),
                "devices": dict(devices),
                "names": {kind: sorted(found) for kind, found in names.items()},
                "browsers": sorted(worker.capability.browsers),
                "labels": sorted(worker.capability.labels),
            }
        )
    waiting: Counter[str] = Counter()
    for run in desk.runs.values():
        if not run.is_over:
            for need, _ in run.state.needs_waiting():
                waiting["+".join(sorted({*need.kinds} - {"cpu"})) or "cpu"] += 1
    return {"kinds": sorted(kinds - {"cpu"}), "workers": rows, "waiting": dict(sorted(waiting.items()))}

"""The paths for operators: the workers, and what may be done with them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from dt_action.coordinator import views
from dt_action.coordinator.callers import Calling, Id, Serving
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import WORKERS, Changes
from dt_action.coordinator.writer import RefusalError

PATHS = APIRouter(tags=["operators"])


@PATHS.get("/workers")
async def workers(service: Serving, caller: Calling) -> list[dict[str, Any]]:
    """The workers, what they have and what they do; of runs that the caller may not see, only that they run."""
    caller.require("read")
    return await service.do(lambda _: views.workers(service.desk, caller))


@PATHS.post("/workers/{worker}/steer/{action}", status_code=202)
async def steer_worker(
    worker: Id,
    action: Annotated[str, Path(pattern="^(drain|resume|remove)$")],
    service: Serving,
    caller: Calling,
) -> dict[str, str]:
    """Drain a worker, let it work again, or remove it."""
    caller.require("admin")
    await service.do(lambda changes: steer(service, changes, worker, action, caller.name))
    return {"worker": worker}


def steer(service: Service, changes: Changes, worker: str, action: str, who: str) -> None:
    """What an operator may do with a worker."""
    if worker not in service.desk.workers:
        raise RefusalError(404, "no such worker")
    if action == "drain":
        service.desk.set_draining(changes, worker, who=who)
    elif action == "resume":
        service.desk.resume(changes, worker, who=who)
    else:
        service.desk.leave(changes, worker, reason=f"removed by {who}")
        changes.update(WORKERS, worker, state="removed")

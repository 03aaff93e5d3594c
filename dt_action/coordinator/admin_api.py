"""The paths for operators: workers and what may be done with them, keys, enrolment tokens, audit, maintenance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import audit, credentials, notes, views
from dt_action.coordinator.auth import Caller, Quota
from dt_action.coordinator.callers import Calling, Id, Json, Serving
from dt_action.coordinator.interface import takes
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import WORKERS, Changes, rows_of
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError
from dt_action.remote import wire

T = TypeVar("T")
PATHS = APIRouter(tags=["operators"])
CredentialId = Annotated[str, Path(pattern="^[0-9a-f]{8}$", max_length=8)]


@PATHS.get("/workers")
async def workers(service: Serving, caller: Calling) -> list[dict[str, Any]]:
    """The workers, what they have and what they do; of runs that the caller may not see, only that they run."""
    caller.require("read")
    present = await service.do(lambda _: views.workers(service.desk, caller))
    return [*present, *await run_in_threadpool(views.removed_workers, service.engine)]


@PATHS.post("/workers/{worker}/steer/{action}", status_code=202)
async def steer_worker(
    worker: Id,
    action: Annotated[str, Path(pattern="^(drain|resume|remove|readmit)$")],
    service: Serving,
    caller: Calling,
) -> dict[str, str]:
    """Drain a worker, let it work again, remove it, or let one in again that was removed."""
    caller.require("admin")
    await service.do(lambda changes: steer(service, changes, worker, action, caller.name))
    return {"worker": worker}


def steer(service: Service, changes: Changes, worker: str, action: str, who: str) -> None:
    """What an operator may do with a worker."""
    if action == "readmit":
        readmit(service, changes, worker, who)
        return
    if worker not in service.desk.workers:
        raise RefusalError(404, "no such worker")
    if action == "drain":
        service.desk.set_draining(changes, worker, who=who)
    elif action == "resume":
        service.desk.resume(changes, worker, who=who)
    else:
        name = service.desk.workers[worker].name
        service.desk.leave(changes, worker, reason=f"removed by {who}")
        changes.update(WORKERS, worker, state="removed")
        changes.audit(who, "worker removed", f"{name} ({worker})")


def readmit(service: Service, changes: Changes, worker: str, who: str) -> None:
    """A worker that was removed may enrol again."""
    rows = rows_of(service.engine, sa.select(WORKERS.c.name, WORKERS.c.state).where(WORKERS.c.id == worker))
    if not rows or rows[0].state != "removed":
        raise RefusalError(404, "no worker with this id was removed")
    changes.execute(
        WORKERS.update().where(WORKERS.c.name == rows[0].name, WORKERS.c.state == "removed").values(state="gone")
    )
    changes.audit(who, "worker readmitted", f"{rows[0].name} ({worker})")


# --- keys and enrolment tokens --------------------------------------------------------------------------------------

KeyWish = Annotated[wire.KeyWish, Depends(Json(wire.KeyWish, most_bytes=16 << 10))]
EnrolmentWish = Annotated[wire.EnrolmentWish, Depends(Json(wire.EnrolmentWish, most_bytes=4 << 10))]


def refusing(work: Callable[[Changes], T]) -> Callable[[Changes], T]:
    """The same work; what it finds wrong with the configuration is a refusal."""

    def job(changes: Changes) -> T:
        try:
            return work(changes)
        except ConfigurationError as error:
            raise RefusalError(404 if "there is no" in error.message else 422, error.message) from None

    return job


@PATHS.get("/keys")
async def keys(service: Serving, caller: Calling) -> list[dict[str, Any]]:
    """The API keys, without their secrets."""
    caller.require("admin")
    return await run_in_threadpool(credentials.keys, service.engine)


@PATHS.post("/keys", status_code=201, openapi_extra=takes(wire.KeyWish))
async def make_key(service: Serving, caller: Calling, asked: KeyWish) -> dict[str, str]:
    """A new API key; this answer is the only place where it stands."""
    caller.require("admin")
    return {"key": await service.do(refusing(lambda changes: new_key(changes, asked, caller)))}


def new_key(changes: Changes, asked: wire.KeyWish, caller: Caller) -> str:
    """Make the key that was asked for. Raises ConfigurationError."""
    quota = Quota(
        max_slots=asked.max_slots,
        max_runs=asked.max_runs,
        max_priority=asked.max_priority,
        max_storage_bytes=asked.max_storage_bytes,
    )
    return credentials.make_key(
        changes,
        name=asked.name,
        scopes=asked.scopes,
        repositories=asked.repositories,
        expires_s=asked.expires_s,
        quota=quota,
        who=caller.name,
    )


@PATHS.delete("/keys/{id}", status_code=204)
async def revoke_key(id: CredentialId, service: Serving, caller: Calling) -> Response:
    """A key is good no more."""
    caller.require("admin")
    await service.do(refusing(lambda changes: credentials.revoke_key(service.engine, changes, id, who=caller.name)))
    return Response(status_code=204)


@PATHS.get("/enrolments")
async def enrolments(service: Serving, caller: Calling) -> list[dict[str, Any]]:
    """The enrolment tokens, without their secrets."""
    caller.require("admin")
    return await run_in_threadpool(credentials.enrolments, service.engine)


@PATHS.post("/enrolments", status_code=201, openapi_extra=takes(wire.EnrolmentWish))
async def make_enrolment(service: Serving, caller: Calling, asked: EnrolmentWish) -> dict[str, str]:
    """A new enrolment token; this answer is the only place where it stands."""
    caller.require("admin")
    return {"token": await service.do(refusing(lambda changes: new_enrolment(changes, asked, caller)))}


def new_enrolment(changes: Changes, asked: wire.EnrolmentWish, caller: Caller) -> str:
    """Make the enrolment token that was asked for. Raises ConfigurationError."""
    return credentials.make_enrolment(
        changes,
        name=asked.name,
        uses=None if asked.is_pool else asked.uses,
        expires_s=asked.expires_s,
        who=caller.name,
    )


@PATHS.delete("/enrolments/{id}", status_code=204)
async def revoke_enrolment(id: CredentialId, service: Serving, caller: Calling) -> Response:
    """An enrolment token is good no more; the workers that came by it stay."""
    caller.require("admin")
    await service.do(
        refusing(lambda changes: credentials.revoke_enrolment(service.engine, changes, id, who=caller.name))
    )
    return Response(status_code=204)


# --- audit and maintenance ------------------------------------------------------------------------------------------


@PATHS.get("/audit")
async def exported_audit(service: Serving, caller: Calling, since: Annotated[float, Query(ge=0)] = 0.0) -> Response:
    """Who did what since then (Unix time), the oldest first, one JSON object a line."""
    caller.require("admin")
    lines = _lines(audit.all_entries(service.engine, since=since))
    return StreamingResponse(lines, media_type="application/x-ndjson")


def _lines(entries: Iterator[audit.Entry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(entry.as_jsonable()) + "\n"


Maintenance = Annotated[wire.Maintenance, Depends(Json(wire.Maintenance, most_bytes=4 << 10))]


@PATHS.put("/maintenance", openapi_extra=takes(wire.Maintenance))
async def begin_maintenance(service: Serving, caller: Calling, asked: Maintenance) -> dict[str, str]:
    """Finish what runs, and take nothing new."""
    caller.require("admin")
    await service.do(lambda changes: notes.begin_maintenance(changes, asked.reason[:500], who=caller.name))
    service.maintenance = asked.reason[:500] or "maintenance"
    return {"maintenance": service.maintenance}


@PATHS.delete("/maintenance", status_code=204)
async def end_maintenance(service: Serving, caller: Calling) -> Response:
    """Take runs again."""
    caller.require("admin")
    await service.do(lambda changes: notes.end_maintenance(changes, who=caller.name))
    service.maintenance = ""
    return Response(status_code=204)

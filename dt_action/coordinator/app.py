"""The paths of the HTTP interface: each takes a message of `wire`, has the desk do it, and gives the answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action import __version__
from dt_action.coordinator import auth, dashboard, events, histories, metrics, parcels, views
from dt_action.coordinator.callers import Calling, CallingWorker, Id, Serving, credential, seen_run
from dt_action.coordinator.protection import Protection
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import ENROLMENTS, WORKERS, Changes, rows_of
from dt_action.coordinator.writer import BugError, RefusalError, UnavailableError
from dt_action.errors import UnreadableError
from dt_action.model.json_codec import to_jsonable
from dt_action.remote import wire

MOST_WAIT_S = 30.0
_WORKER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REQUEST_ISOLATIONS = ("session", "file", "container")


def create_app(service: Service) -> FastAPI:
    """The application that serves `service`."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Distributed Testing coordinator", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.service = service
    app.add_exception_handler(RefusalError, _refused)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(BugError, _bug)
    app.add_exception_handler(UnreadableError, _unreadable)
    app.include_router(_WORKERS, prefix=wire.API)  # first: nearly all requests are theirs, and paths are tried in turn
    app.include_router(_CLIENTS, prefix=wire.API)
    app.include_router(parcels.PATHS, prefix=wire.API)
    app.include_router(histories.PATHS, prefix=wire.API)
    app.include_router(_HEALTH)
    app.include_router(dashboard.PAGES)
    app.add_middleware(Protection, max_bundle_bytes=service.config.max_bundle_bytes)
    return app


# --- clients --------------------------------------------------------------------------------------------------------

_CLIENTS = APIRouter(tags=["clients"])


@_CLIENTS.get("/blobs/{digest}")
async def blob_state(digest: str, service: Serving, caller: Calling) -> dict[str, bool]:
    """Whether a bundle is here, so that it need not be sent."""
    caller.require("submit")
    return {"present": await run_in_threadpool(service.blobs.has, digest)}


@_CLIENTS.put("/blobs/{digest}", status_code=201)
async def put_blob(digest: str, request: Request, service: Serving, caller: Calling) -> dict[str, str]:
    """Take a bundle in."""
    caller.require("submit")
    await service.blobs.take_in(digest, request.stream())
    return {"digest": digest}


@_CLIENTS.post("/runs", status_code=201)
async def submit(submission: wire.Submission, service: Serving, caller: Calling) -> Response:
    """Begin a run. The same nonce is the same run, however often it is sent."""
    caller.require("submit")
    if caller.repositories and submission.repository not in caller.repositories:
        raise RefusalError(403, f"this credential is not for the repository {submission.repository!r}")
    if submission.isolation not in _REQUEST_ISOLATIONS:
        raise RefusalError(422, f"expected isolation {' or '.join(_REQUEST_ISOLATIONS)}")
    if not submission.nonce or len(submission.nonce) > 64:
        raise RefusalError(422, "expected a nonce of 1 to 64 characters")
    if not submission.plan.files:
        raise RefusalError(422, "expected a plan with at least one file")
    if not await run_in_threadpool(service.blobs.has, submission.bundle):
        raise RefusalError(409, "the bundle is not here", hint=f"first PUT {wire.API}/blobs/{submission.bundle}")
    submitted = await service.do(lambda changes: service.desk.submit(changes, submission, caller.owner))
    return JSONResponse(to_jsonable(submitted), status_code=201)


@_CLIENTS.get("/runs")
async def runs(
    service: Serving, caller: Calling, most: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[dict[str, Any]]:
    """The latest runs that the caller may see."""
    found = await run_in_threadpool(views.runs, service, most)
    return [run for run in found if caller.may_see(run["owner"], run["repository"])]


@_CLIENTS.get("/runs/{run}")
async def run_state(run: Id, service: Serving, caller: Calling) -> dict[str, Any]:
    """What is known of a run, and why cases wait."""
    return await seen_run(service, caller, run)


@_CLIENTS.get("/runs/{run}/events")
async def run_events(
    run: Id,
    service: Serving,
    caller: Calling,
    after: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The events after number `after` (or Last-Event-ID): a stream, or for `Accept: application/json` one page."""
    await seen_run(service, caller, run)
    if last_event_id.isdecimal():
        after = max(after, min(int(last_event_id), 1 << 53))
    if "application/json" in accept:
        rows = await run_in_threadpool(events.page_of_events, service.engine, run, after)
        page = ",".join(f'{{"id":{row.seq},"event":{row.payload}}}' for row in rows)
        return Response(f"[{page}]", media_type="application/json")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body = events.stream(service.engine, service.bells, run, after)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


@_CLIENTS.get("/runs/{run}/results")
async def run_results(run: Id, service: Serving, caller: Calling) -> Response:
    """The final outcome of each case that has one, one JSON object a line."""
    await seen_run(service, caller, run)
    return StreamingResponse(views.results(service, run), media_type="application/x-ndjson")


@_CLIENTS.post("/runs/{run}/cancel", status_code=202)
async def cancel(run: Id, asked: wire.Cancel, service: Serving, caller: Calling) -> dict[str, str]:
    """End a run early; one that is over stays as it is."""
    caller.require("submit")
    await seen_run(service, caller, run)
    await service.do(lambda changes: service.desk.cancel(changes, run, who=caller.name, reason=asked.reason[:500]))
    return {"run": run}


@_CLIENTS.get("/workers")
async def workers(service: Serving, caller: Calling) -> list[dict[str, Any]]:
    """The workers, what they have and what they do."""
    caller.require("read")
    return await service.do(lambda _: views.workers(service.desk))


@_CLIENTS.post("/workers/{worker}/steer/{action}", status_code=202)
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


# --- workers --------------------------------------------------------------------------------------------------------

_WORKERS = APIRouter(tags=["workers"])


@_WORKERS.post("/workers", status_code=201)
async def enrol(asked: wire.Enrolment, service: Serving) -> Response:
    """A machine becomes a worker, by an enrolment token."""
    if not _WORKER_NAME.fullmatch(asked.name):
        raise RefusalError(422, "expected a name of letters, digits, dots, dashes and underscores, at most 63")
    if not 1 <= asked.slots <= 1024 or not asked.boot or len(asked.boot) > 64:
        raise RefusalError(422, "expected 1 to 1024 slots, and a boot of 1 to 64 characters")
    renewal = secrets.token_urlsafe(32)

    def job(changes: Changes) -> str:
        enrolment = service.guard.enrolment(asked.token, boot=asked.boot, changes=changes)
        worker = service.desk.enrol(changes, asked, enrolment=enrolment, renewal_hash=auth.digest(renewal))
        used = ENROLMENTS.update().where(ENROLMENTS.c.id == enrolment, ENROLMENTS.c.uses_left > 0)
        changes.execute(used.values(uses_left=ENROLMENTS.c.uses_left - 1))
        return worker.id

    worker = await service.do(job)
    enrolled = wire.Enrolled(
        worker=worker,
        jwt=service.guard.worker_jwt(worker),
        expires_s=auth.JWT_S,
        renewal=renewal,
        lease_s=service.config.patience.lease_s,
    )
    return JSONResponse(to_jsonable(enrolled), status_code=201)


@_WORKERS.post("/workers/{worker}/token")
async def renew(worker: Id, asked: wire.Renewal, service: Serving) -> Response:
    """The next JWT of a worker."""

    def known() -> bool:
        rows = rows_of(service.engine, sa.select(WORKERS).where(WORKERS.c.id == worker, WORKERS.c.state != "gone"))
        stored = rows[0].renewal_hash if rows else auth.digest("")
        return secrets.compare_digest(stored, auth.digest(asked.renewal)) and bool(rows)

    if not await run_in_threadpool(known):
        raise RefusalError(401, "this worker is not enrolled (any more)", hint="enrol it again")
    return JSONResponse(to_jsonable(wire.Renewed(jwt=service.guard.worker_jwt(worker), expires_s=auth.JWT_S)))


@_WORKERS.delete("/workers/{worker}", status_code=204)
async def goodbye(worker: Id, service: Serving, calling: CallingWorker) -> Response:
    """A worker leaves."""
    if calling != worker:
        raise RefusalError(403, "this token is another worker's")
    await service.do(lambda changes: service.desk.leave(changes, worker, reason="it said goodbye"))
    return Response(status_code=204)


@_WORKERS.post("/leases")
async def poll(asked: wire.Poll, request: Request, service: Serving, worker: CallingWorker) -> Response:
    """New leases and commands for a worker; waits for some at most `wait_s`. It is the worker's heartbeat, too."""
    most_s = min(MOST_WAIT_S, service.config.patience.lease_s / 3)  # the next poll is the next sign of life
    deadline = time.monotonic() + max(0.0, min(asked.wait_s, most_s))
    while True:
        count = service.bells.count(worker)
        work = await service.do(lambda changes: service.desk.poll(changes, worker, asked))
        left_s = deadline - time.monotonic()
        if work.leases or work.commands or work.revoked or left_s <= 0 or service.bells.is_closed:
            return JSONResponse(to_jsonable(work))
        if work.is_draining != asked.is_draining:
            return JSONResponse(to_jsonable(work))
        await service.bells.wait(worker, count, left_s)
        if await request.is_disconnected():
            return Response(status_code=204)


@_WORKERS.post("/leases/{lease}/events")
async def told(lease: Id, asked: wire.Told, service: Serving, authorization: Annotated[str, Header()] = "") -> Response:
    """What a slot told, with the token of its lease; the answer is given when it is on disk."""
    service.guard.check_lease(lease, credential(authorization))
    if len(asked.messages) > wire.MAX_MESSAGES:
        raise RefusalError(413, f"expected at most {wire.MAX_MESSAGES} messages at once")
    taken = await service.do(lambda changes: service.desk.told(changes, lease, asked))
    return JSONResponse(to_jsonable(taken))


@_WORKERS.get("/leases/{lease}/bundle")
async def bundle(lease: Id, service: Serving, authorization: Annotated[str, Header()] = "") -> Response:
    """The source tree of the lease's run, with the token of the lease."""
    service.guard.check_lease(lease, credential(authorization))
    live = service.desk.leases.get(lease)
    run = service.desk.runs.get(live.run) if live is not None else None
    if run is None:
        raise RefusalError(410, "this lease was given away or is over")
    path = service.blobs.path(run.submission.bundle)
    if not path.is_file():
        raise RefusalError(404, "the bundle is gone")
    return FileResponse(path, media_type="application/gzip")


# --- health ---------------------------------------------------------------------------------------------------------

_HEALTH = APIRouter(tags=["health"])


@_HEALTH.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok", "version": __version__}


@_HEALTH.get("/readyz")
async def readyz(service: Serving) -> Response:
    """The database answers, and the state is read."""
    try:
        await asyncio.wait_for(service.do(lambda _: None), 5.0)
        await run_in_threadpool(rows_of, service.engine, sa.select(sa.literal(1)))
    except Exception as error:
        return JSONResponse({"status": "not ready", "reason": type(error).__name__}, status_code=503)
    return JSONResponse({"status": "ready" if service.is_ready else "starting"})


@_HEALTH.get("/metrics")
async def prometheus(service: Serving) -> Response:
    """Counts for Prometheus and for autoscalers; no names of tests, keys or repositories."""
    text = await service.do(lambda _: metrics.text(service.desk))
    return Response(text, media_type="text/plain; version=0.0.4")


# --- refusals -------------------------------------------------------------------------------------------------------


def _problem(status: int, message: str, hint: str = "", headers: dict[str, str] | None = None) -> Response:
    body = json.dumps({"error": message, **({"hint": hint} if hint else {})})
    return Response(body, status_code=status, media_type="application/json", headers=headers)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)  # noqa: S101 - by its registration
    headers = {}
    if error.status == 303:
        return Response(status_code=303, headers={"Location": error.hint})
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return _problem(error.status, error.message, error.hint, headers)


async def _unavailable(_: Request, error: Exception) -> Response:
    return _problem(503, "the answer could not be written down; ask again", headers={"Retry-After": "1"})


async def _bug(_: Request, error: Exception) -> Response:
    return _problem(500, "this is a bug in the coordinator; its log says more")


async def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnreadableError)  # noqa: S101 - by its registration
    return _problem(422, error.message, error.hint)

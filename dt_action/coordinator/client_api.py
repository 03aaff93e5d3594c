"""The paths for clients: bundles, runs, their events and results."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import bundles, events, run_again, views
from dt_action.coordinator.callers import Calling, Digest, Id, Json, Serving, seen_run
from dt_action.coordinator.interface import takes, takes_bytes
from dt_action.coordinator.protection import check_length, passage_of
from dt_action.coordinator.store import RUNS, rows_of
from dt_action.coordinator.writer import RefusalError
from dt_action.model.json_codec import to_jsonable
from dt_action.remote import wire

PATHS = APIRouter(tags=["clients"])
_REQUEST_ISOLATIONS = ("session", "file", "test", "container")


@PATHS.get("/blobs/{digest}")
async def blob_state(digest: Digest, service: Serving, caller: Calling) -> dict[str, bool]:
    """Whether a bundle of the caller's is here, so that it need not be sent."""
    caller.require("submit")
    return {"present": await run_in_threadpool(bundles.holds, service, caller, digest)}


@PATHS.put("/blobs/{digest}", status_code=201, openapi_extra=takes_bytes("application/octet-stream"))
async def put_blob(digest: Digest, request: Request, service: Serving, caller: Calling) -> dict[str, str]:
    """Take a bundle in."""
    caller.require("submit")
    check_length(request.scope, service.blobs.max_bytes)
    length = request.headers.get("content-length", "")
    bundles.check_share(service, caller, int(length) if length.isdigit() else 0)
    size = await service.blobs.take_in(digest, request.stream())
    gone = await service.do(lambda changes: bundles.keep(service, changes, caller, digest, size))
    for other in gone:
        await run_in_threadpool(service.blobs.remove, other)
    return {"digest": digest}


Submission = Annotated[wire.Submission, Depends(Json(wire.Submission, most_bytes=wire.MAX_SUBMISSION_BYTES))]


@PATHS.post("/runs", status_code=201, openapi_extra=takes(wire.Submission))
async def submit(service: Serving, caller: Calling, submission: Submission) -> Response:
    """Begin a run. The same nonce is the same run, however often it is sent."""
    caller.require("submit")
    caller.require_repository(submission.repository)
    service.expect_no_maintenance()
    _check(submission)
    if not await run_in_threadpool(bundles.holds, service, caller, submission.bundle):
        raise RefusalError(409, "the bundle is not here", hint=f"first PUT {wire.API}/blobs/{submission.bundle}")
    submitted = await service.do(lambda changes: service.desk.submit(changes, submission, caller.owner))
    most = caller.quota.max_priority
    if submission.priority > most:
        text = f"--priority {submission.priority} is more than this key may ask for; the run has priority {most}"
        submitted = replace(submitted, warnings=(text, *submitted.warnings))
    return JSONResponse(to_jsonable(submitted), status_code=201)


def _check(submission: wire.Submission) -> None:
    """Raise RefusalError for what is of the right type and makes no sense."""
    if submission.start.isolation not in _REQUEST_ISOLATIONS:
        raise RefusalError(422, f"expected isolation {' or '.join(_REQUEST_ISOLATIONS)}")
    if not submission.nonce or len(submission.nonce) > 64 or not submission.nonce.isprintable():
        raise RefusalError(422, "expected a nonce of 1 to 64 printable characters")
    if not 0 < len(submission.plan.files) <= wire.MAX_FILES:
        raise RefusalError(422, f"expected a plan of 1 to {wire.MAX_FILES:,} files")
    if abs(submission.priority) > wire.MAX_PRIORITY:
        raise RefusalError(422, f"expected a priority of at most {wire.MAX_PRIORITY:,}")
    if "\0" in submission.start.directory or any("\0" in argument for argument in submission.start.args):
        raise RefusalError(422, "expected a directory and arguments without NUL, which no process can be given")


@PATHS.get("/runs")
async def runs(
    service: Serving,
    caller: Calling,
    most: Annotated[int, Query(ge=1, le=200)] = 50,
    words: Annotated[str, Query(max_length=255)] = "",
    repository: Annotated[str, Query(max_length=255)] = "",
    conclusion: Annotated[str, Query(max_length=16)] = "",
    before: Annotated[str, Query(max_length=64)] = "",
) -> list[dict[str, Any]]:
    """The latest runs that the caller may see; `before` is the id of the last one of the page before."""
    wanted = views.Wanted(words=words, repository=repository, conclusion=conclusion, before=before, most=most)
    return await run_in_threadpool(views.runs, service, caller, wanted)


@PATHS.get("/runs/{run}")
async def run_state(run: Id, service: Serving, caller: Calling) -> dict[str, Any]:
    """What is known of a run, and why cases wait."""
    return await seen_run(service, caller, run)


@PATHS.get("/runs/{run}/plan")
async def run_plan(run: Id, service: Serving, caller: Calling) -> Response:
    """What a client needs to follow a run that it did not begin itself."""
    await seen_run(service, caller, run)
    rows = await run_in_threadpool(rows_of, service.engine, sa.select(RUNS.c.submission).where(RUNS.c.id == run))

    def chosen() -> bytes:
        submission = json.loads(rows[0].submission)
        return json.dumps({name: submission[name] for name in _OF_PLAN if name in submission}).encode()

    return Response(await run_in_threadpool(chosen), media_type="application/json")


_OF_PLAN = tuple(field.name for field in fields(wire.Followed))


@PATHS.get("/runs/{run}/events")
async def run_events(
    request: Request,
    run: Id,
    service: Serving,
    caller: Calling,
    after: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
    last_event_id: Annotated[str, Header(max_length=20)] = "",
    accept: Annotated[str, Header()] = "",
) -> Response:
    """The events after number `after` (or Last-Event-ID): a stream, or for `Accept: application/json` one page."""
    await seen_run(service, caller, run)
    if last_event_id.isascii() and last_event_id.isdigit():
        after = max(after, min(int(last_event_id), 1 << 53))
    service.followers.note_alive(run)
    if "application/json" in accept:
        page = await service.pages.after(run, after)
        return Response(page.as_json, media_type="application/json")
    passage = passage_of(request.scope)
    passage.counts_as(service.streams.one(caller.name))
    passage.shares.enter_context(service.followers.following(run))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    body = events.stream(service.pages, service.notifier, run, after)
    return StreamingResponse(body, media_type="text/event-stream", headers=headers)


@PATHS.get("/runs/{run}/results")
async def run_results(run: Id, service: Serving, caller: Calling) -> Response:
    """The final outcome of each case that has one, one JSON object a line."""
    await seen_run(service, caller, run)
    return StreamingResponse(views.results(service, run), media_type="application/x-ndjson")


@PATHS.post("/runs/{run}/again", status_code=201)
async def again(run: Id, service: Serving, caller: Calling) -> Response:
    """Run it once more: the same tree, plan and options, as a new run of the caller's."""
    await seen_run(service, caller, run)
    return JSONResponse(to_jsonable(await run_again.run_again(service, caller, run)), status_code=201)


Cancel = Annotated[wire.Cancel, Depends(Json(wire.Cancel, most_bytes=4 << 10))]


@PATHS.post("/runs/{run}/cancel", status_code=202, openapi_extra=takes(wire.Cancel))
async def cancel(run: Id, service: Serving, caller: Calling, asked: Cancel) -> dict[str, str]:
    """End a run early; one that is over stays as it is."""
    caller.require("submit")
    await seen_run(service, caller, run)
    await service.do(lambda changes: service.desk.cancel(changes, run, who=caller.name, reason=asked.reason[:500]))
    return {"run": run}

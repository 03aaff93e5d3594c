"""The pages of runs: the latest ones, and one with its tests, where its time went, and what it printed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import events, pictures, result_views, run_again, views
from dt_action.coordinator.auth import Caller
from dt_action.coordinator.conclusions import CONCLUSIONS
from dt_action.coordinator.pages.rendering import page
from dt_action.coordinator.pages.sessions import Viewing, form_of
from dt_action.coordinator.protection import passage_of
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError

PAGES = APIRouter()
RUNS_A_PAGE = 50
TRACEBACKS = 10
"""So many failures have their traceback on the run's own page."""

Words = Annotated[str, Query(max_length=255)]


@PAGES.get("/")
async def overview(
    request: Request,
    viewer: Viewing,
    words: Words = "",
    conclusion: Words = "",
    repository: Words = "",
    before: Words = "",
) -> Response:
    """The latest runs, and a line for each worker."""
    service: Service = request.app.state.service
    wanted = views.Wanted(
        words=words, conclusion=conclusion, repository=repository, before=before, most=RUNS_A_PAGE + 1
    )
    runs = await run_in_threadpool(views.runs, service, viewer, wanted)
    may_read = bool(viewer.scopes & {"read", "admin"})
    workers = await service.do(lambda _: views.workers(service.desk, viewer)) if may_read else []
    return page(
        request,
        "runs.html.j2",
        viewer,
        runs=runs[:RUNS_A_PAGE],
        has_more=len(runs) > RUNS_A_PAGE,
        workers=workers,
        conclusions=CONCLUSIONS,
    )


@PAGES.get("/runs/{run}")
async def run_page(
    request: Request,
    run: str,
    viewer: Viewing,
    words: Words = "",
    outcome: Words = "",
    worker: Words = "",
    number: Annotated[int, Query(ge=1, le=100_000, alias="page")] = 1,
) -> Response:
    """One run: its failures first, its tests page by page, its logs, and where its time went."""
    service: Service = request.app.state.service
    state = await seen(service, viewer, run)
    wanted = result_views.Wanted(words=words, outcome=outcome, worker=worker, page=number)
    about = await run_in_threadpool(_about, service, run, wanted)
    waiting = await service.do(lambda _: views.why_waiting(service.desk, run))
    return page(
        request,
        "run.html.j2",
        viewer,
        run=state,
        waiting=waiting[:20],
        wanted=wanted,
        may_steer=_may_steer(viewer),
        **about,
    )


def _about(service: Service, run: str, wanted: result_views.Wanted) -> dict[str, Any]:
    """Everything of a run that is in the database."""
    engine = service.engine
    found = result_views.results_of(engine, run, wanted)
    failing = result_views.results_of(engine, run, result_views.Wanted(outcome="failing"))
    longest = result_views.longest_of(engine, run)
    return {
        "found": found,
        "failures": failing.rows[:TRACEBACKS],
        "failing_count": failing.count,
        "tails": result_views.tails_of(engine, run, [row.event for row in failing.rows[:TRACEBACKS]]),
        "timeline": pictures.timeline(longest),
        "advice": pictures.advice(longest),
        "logs": result_views.logs_of(engine, run),
    }


def _may_steer(viewer: Caller) -> bool:
    return bool(viewer.scopes & {"submit", "admin"})


@PAGES.get("/runs/{run}/tests/{event}")
async def result_page(request: Request, run: str, event: int, viewer: Viewing) -> Response:
    """One result whole: message, traceback and output of every attempt, and what its slot printed."""
    service: Service = request.app.state.service
    state = await seen(service, viewer, run)
    attempts = await run_in_threadpool(result_views.attempts_of, service.engine, run, min(event, 1 << 53))
    if not attempts:
        raise RefusalError(404, "this run has no such result")
    slot = str(attempts[0].get("slot", ""))
    logs = await run_in_threadpool(result_views.logs_of, service.engine, run, slot) if slot else []
    workers = await service.do(lambda _: {worker.name: worker.id for worker in service.desk.workers.values()})
    return page(
        request,
        "result.html.j2",
        viewer,
        run=state,
        attempts=attempts,
        case=attempts[0]["case"],
        logs=logs,
        workers=workers,
    )


@PAGES.get("/runs/{run}/signals")
async def run_signals(request: Request, run: str, viewer: Viewing) -> Response:
    """A stream by which the script of a run's page knows that there is something new."""
    service: Service = request.app.state.service
    await seen(service, viewer, run)
    passage_of(request.scope).counts_as(service.streams.one(viewer.name))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events.signals(service.notifier, run), media_type="text/event-stream", headers=headers)


@PAGES.post("/runs/{run}/cancel")
async def cancel(request: Request, run: str, viewer: Viewing) -> Response:
    """End a run early."""
    service: Service = request.app.state.service
    await form_of(request)
    viewer.require("submit")
    await seen(service, viewer, run)
    await service.do(lambda changes: service.desk.cancel(changes, run, who=viewer.name, reason=""))
    return RedirectResponse(f"/runs/{run}", status_code=303)


@PAGES.post("/runs/{run}/again")
async def again(request: Request, run: str, viewer: Viewing) -> Response:
    """Run it once more."""
    service: Service = request.app.state.service
    await form_of(request)
    await seen(service, viewer, run)
    submitted = await run_again.run_again(service, viewer, run)
    return RedirectResponse(f"/runs/{submitted.run}", status_code=303)


async def seen(service: Service, viewer: Caller, run: str) -> dict[str, Any]:
    """The state of a run that the viewer may see; for all others it does not exist."""
    state = await run_in_threadpool(views.run, service, run[:64])
    if state is None or not viewer.may_see(state["owner"], state["repository"]):
        raise RefusalError(404, "no such run, or not yours")
    return state

"""The pages of tests over many runs: how one fared, and which are flaky."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import pictures, result_views
from dt_action.coordinator.pages.rendering import page
from dt_action.coordinator.pages.sessions import Viewing
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError

PAGES = APIRouter()


@PAGES.get("/tests")
async def test_page(
    request: Request,
    viewer: Viewing,
    case: Annotated[str, Query(max_length=8192)],
    repository: Annotated[str, Query(max_length=255)] = "",
) -> Response:
    """How a test fared in the runs that are kept."""
    service: Service = request.app.state.service
    if not viewer.may_see("", repository):
        raise RefusalError(404, "no such test, or not yours")
    rows = await run_in_threadpool(result_views.history_of, service.engine, case, repository)
    return page(
        request,
        "test.html.j2",
        viewer,
        case=case,
        repository=repository,
        results=rows,
        flaky=sum(row.is_flaky for row in rows),
        changes=sum(a.outcome != b.outcome for a, b in pairwise(rows)),
        picture=pictures.durations(rows[::-1]),
    )


@PAGES.get("/flaky")
async def flaky_page(request: Request, viewer: Viewing, days: Annotated[int, Query(ge=1, le=400)] = 30) -> Response:
    """The tests that passed only when they were tried again."""
    service: Service = request.app.state.service
    viewer.require("read")
    found = await run_in_threadpool(lambda: result_views.flaky(service.engine, viewer, days=days))
    return page(request, "flaky.html.j2", viewer, tests=found, days=days)

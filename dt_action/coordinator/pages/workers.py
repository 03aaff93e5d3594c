"""The pages of workers: all of them, one with all that is known of it, and the hardware against what waits for it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from dt_action import __version__
from dt_action.coordinator import admin_api, views, worker_views
from dt_action.coordinator.pages.rendering import page
from dt_action.coordinator.pages.sessions import Viewing, form_of
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError

PAGES = APIRouter()
ACTIONS = ("drain", "resume", "remove", "readmit")


@PAGES.get("/workers")
async def workers_page(request: Request, viewer: Viewing) -> Response:
    """Every worker, and those that were removed."""
    service: Service = request.app.state.service
    viewer.require("read")
    workers = await service.do(lambda _: views.workers(service.desk, viewer))
    removed = await run_in_threadpool(views.removed_workers, service.engine)
    return page(request, "workers.html.j2", viewer, workers=workers, removed=removed, here=__version__)


@PAGES.get("/workers/{worker}")
async def worker_page(request: Request, worker: str, viewer: Viewing) -> Response:
    """One worker: what it has, what it does, how it fares, and what failed there."""
    service: Service = request.app.state.service
    viewer.require("read")
    known = await service.do(lambda _: views.workers(service.desk, viewer))
    state = next((each for each in known if each["id"] == worker), None)
    if state is None:
        raise RefusalError(404, "no such worker; it may have left")

    def about() -> dict[str, Any]:
        return {
            "failures": worker_views.failures_on(service.engine, viewer, worker, state["name"]),
            "losses": worker_views.losses_of(service.engine, worker),
        }

    found = await run_in_threadpool(about)
    return page(request, "worker.html.j2", viewer, worker=state, here=__version__, **found)


@PAGES.post("/workers/{worker}/{action}")
async def steer(request: Request, worker: str, action: str, viewer: Viewing) -> Response:
    """Drain a worker, let it work again, remove it, or let one in again that was removed."""
    service: Service = request.app.state.service
    form = await form_of(request)
    viewer.require("admin")
    if action not in ACTIONS:
        raise RefusalError(404, "no such action")
    await service.do(lambda changes: admin_api.steer(service, changes, worker[:64], action, viewer.name))
    stays = action in ("drain", "resume") and form.get("from") == "worker"
    return RedirectResponse(f"/workers/{worker}" if stays else "/workers", status_code=303)


@PAGES.get("/hardware")
async def hardware_page(request: Request, viewer: Viewing) -> Response:
    """Which worker has which devices, and what waits for which."""
    service: Service = request.app.state.service
    viewer.require("read")
    found = await service.do(lambda _: worker_views.hardware(service.desk))
    return page(request, "hardware.html.j2", viewer, **found)

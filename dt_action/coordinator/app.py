"""The HTTP application: its paths put together, health, and what becomes of a refusal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from dt_action import __version__
from dt_action.coordinator import admin_api, client_api, histories, interface, metrics, pages, uploads, worker_api
from dt_action.coordinator.callers import Serving, address_of
from dt_action.coordinator.protection import Protection, passage_of, problem
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import BugError, RefusalError, UnavailableError
from dt_action.errors import UnreadableError
from dt_action.remote import wire


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
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UnavailableError, _unavailable)
    app.add_exception_handler(BugError, _bug)
    app.add_exception_handler(UnreadableError, _unreadable)
    app.include_router(worker_api.PATHS, prefix=wire.API)  # first: nearly all requests are theirs
    app.include_router(client_api.PATHS, prefix=wire.API)
    app.include_router(admin_api.PATHS, prefix=wire.API)
    app.include_router(uploads.PATHS, prefix=wire.API)
    app.include_router(histories.PATHS, prefix=wire.API)
    app.include_router(_HEALTH)
    app.include_router(pages.PAGES)
    app.add_middleware(Protection)
    interface.describe(app)
    return app


# --- health ---------------------------------------------------------------------------------------------------------

_HEALTH = APIRouter(tags=["health"])


@_HEALTH.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok", "version": __version__}


@_HEALTH.get("/readyz")
async def readyz(service: Serving) -> Response:
    """The database and the data directory can be written to, and the state is read."""
    reason = await service.readiness.reason()
    if reason:
        return JSONResponse({"status": "not ready", "reason": reason}, status_code=503)
    return JSONResponse({"status": "ready" if service.is_ready else "starting"})


@_HEALTH.get("/metrics")
async def prometheus(service: Serving) -> Response:
    """Counts for Prometheus and for autoscalers; no names of tests, keys or repositories."""
    text = await service.do(lambda _: metrics.text(service.desk, is_in_maintenance=bool(service.maintenance)))
    return Response(text, media_type="text/plain; version=0.0.4")


# --- refusals -------------------------------------------------------------------------------------------------------


def _answer(
    request: Request, status: int, message: str, hint: str = "", headers: dict[str, str] | None = None
) -> Response:
    """A refusal: at most 1 kB, without anything of what was sent; and a line in the log."""
    service: Service = request.app.state.service
    passage = passage_of(request.scope)
    service.refusals.tell(
        status=status,
        reason=message,
        method=request.method,
        path=request.url.path[:200],
        address=address_of(request),
        who=passage.who,
        request=passage.id,
    )
    return Response(problem(message, hint), status_code=status, media_type="application/json", headers=headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)  # noqa: S101 - by its registration
    headers = {}
    if error.status == 303:
        return Response(status_code=303, headers={"Location": error.hint})
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return _answer(request, error.status, error.message, error.hint, headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """A path, a query or a header that is not as it should be; what was found instead is not repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - by its registration
    told = [f"{' '.join(map(str, _place(found['loc'])))}: {found['msg']}" for found in error.errors()[:3]]
    return _answer(request, 422, "; ".join(told))


def _place(place: Any) -> tuple[Any, ...]:
    """Where, in names of our own: `query most`, `path run`, `header accept`."""
    return tuple(place[:2])


async def _unavailable(request: Request, error: Exception) -> Response:
    return _answer(request, 503, "the database cannot be written to; retry in 1 s", headers={"Retry-After": "1"})


async def _bug(request: Request, error: Exception) -> Response:
    return _answer(request, 500, "this is a bug in the coordinator; its log says more")


async def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, UnreadableError)  # noqa: S101 - by its registration
    return _answer(request, 422, "the body is not what this path takes", error.hint)

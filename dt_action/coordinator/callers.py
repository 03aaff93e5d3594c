"""Who calls, and what of the coordinator's state they may see: what the paths of the HTTP interface depend on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Request
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import auth, views
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError

Id = Annotated[str, Path(pattern="^[0-9a-f]{8,64}$", max_length=64)]


async def _service(request: Request) -> Service:  # a function that is not async would be called in a thread
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


def credential(authorization: str) -> str:
    """What stands after `Bearer`. Raises RefusalError where nothing does."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise RefusalError(401, "no credential", hint="send `Authorization: Bearer KEY`")
    return value.strip()


async def _caller(service: Serving, authorization: Annotated[str, Header()] = "") -> auth.Caller:
    return await run_in_threadpool(service.guard.caller, credential(authorization))


async def _worker_id(service: Serving, authorization: Annotated[str, Header()] = "") -> str:
    return service.guard.worker(credential(authorization))


Calling = Annotated[auth.Caller, Depends(_caller)]
CallingWorker = Annotated[str, Depends(_worker_id)]


async def seen_run(service: Service, caller: auth.Caller, run: str) -> dict[str, Any]:
    """The state of a run that the caller may see; for all others it does not exist."""
    state = await run_in_threadpool(views.run, service, run)
    if state is None or not caller.may_see(state["owner"], state["repository"]):
        raise RefusalError(404, "no such run, or not yours")
    state["why_waiting"] = await service.do(lambda _: views.why_waiting(service.desk, run))
    return state

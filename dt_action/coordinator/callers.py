"""Who calls, and what they sent: what the paths of the HTTP interface depend on. First who, then the body."""

from __future__ import annotations

import json
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool

from dt_action import __version__
from dt_action.coordinator import auth, views
from dt_action.coordinator.protection import check_length, passage_of
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import UnreadableError
from dt_action.model.json_codec import from_jsonable
from dt_action.remote import wire

T = TypeVar("T")

_OF_KEY = HTTPBearer(
    scheme_name="key", description="an API key, or the token of a CI service that is known here", auto_error=False
)
_OF_WORKER = HTTPBearer(scheme_name="worker", description="the JWT of a worker", auto_error=False)
_OF_LEASE = HTTPBearer(scheme_name="lease", description="the token of the lease in the path", auto_error=False)
_OF_ENROLMENT = HTTPBearer(scheme_name="enrolment", description="an enrolment token", auto_error=False)
_OF_RENEWAL = HTTPBearer(
    scheme_name="renewal", description="the secret that renews the JWT of the worker in the path", auto_error=False
)
"""For the description of the interface only: the functions below look at the credentials themselves."""


Id = Annotated[str, Path(pattern="^[0-9a-f]{8,64}$", max_length=64)]
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$", max_length=64)]


INLINE_BYTES = 32 << 10
"""A body up to this size is read on the event loop: it takes less than a millisecond."""


async def _service(request: Request) -> Service:  # a function that is not async would be called in a thread
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(_service)]


def address_of(request: Request) -> str:
    """Where a request comes from; behind a trusted proxy what that says."""
    return request.client.host if request.client else ""


def credential_of(request: Request) -> str:
    """What stands after `Bearer`. Raises RefusalError where nothing does."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise RefusalError(401, "no credential", hint="send `Authorization: Bearer KEY`")
    return value.strip()


def slowed(request: Request, service: Service, error: RefusalError) -> RefusalError:
    """What to tell someone whose credential is wrong: to slow down, where that happens too often."""
    if error.is_suspicious and service.failures.add(address_of(request)):
        return RefusalError(429, "too many wrong credentials from this address; wait a minute", retry_after_s=60)
    return error


def admit(request: Request, service: Service, who: str) -> None:
    """Let the request in. Raises RefusalError where `who` has too many under way."""
    passage = passage_of(request.scope)
    passage.who = who
    passage.shares.enter_context(service.in_flight.one(who))
    passage.is_admitted = True


async def _caller(request: Request, service: Serving, _: Annotated[Any, Security(_OF_KEY)]) -> auth.Caller:
    try:
        caller = await service.guard.caller(credential_of(request))
    except RefusalError as error:
        raise slowed(request, service, error) from None
    admit(request, service, f"client {caller.name}")
    return caller


async def _worker_id(request: Request, service: Serving, _: Annotated[Any, Security(_OF_WORKER)]) -> str:
    try:
        worker = service.guard.worker(credential_of(request))
    except RefusalError as error:
        raise slowed(request, service, error) from None
    admit(request, service, f"worker {worker}")
    return worker


async def _lease_id(request: Request, lease: Id, service: Serving, _: Annotated[Any, Security(_OF_LEASE)]) -> str:
    try:
        service.guard.check_lease(lease, credential_of(request))
    except RefusalError as error:
        raise slowed(request, service, error) from None
    admit(request, service, f"lease {lease}")
    return lease


async def _enrolment(request: Request, service: Serving, _: Annotated[Any, Security(_OF_ENROLMENT)]) -> str:
    token = credential_of(request)
    try:
        await run_in_threadpool(service.guard.enrolment_of, token)
    except RefusalError as error:
        raise slowed(request, service, error) from None
    admit(request, service, f"enrolment {token[:12]}")
    return token


async def _renewing(request: Request, worker: Id, service: Serving, _: Annotated[Any, Security(_OF_RENEWAL)]) -> str:
    secret = credential_of(request)
    try:
        await run_in_threadpool(service.guard.check_renewal, worker, secret)
    except RefusalError as error:
        raise slowed(request, service, error) from None
    admit(request, service, f"worker {worker}")
    return worker


Calling = Annotated[auth.Caller, Depends(_caller)]
"""The holder of an API key or of a CI service's token."""

CallingWorker = Annotated[str, Depends(_worker_id)]
"""The id of the worker whose JWT came."""

CallingLease = Annotated[str, Depends(_lease_id)]
"""The id of the lease in the path, whose token came."""

Enrolling = Annotated[str, Depends(_enrolment)]
"""An enrolment token that is good."""

Renewing = Annotated[str, Depends(_renewing)]
"""The id of the worker in the path, whose renewal secret came."""


MOST_NESTED = 1000
BYTES_OF_NESTED = 8
"""
A list or an object for every so many bytes is more than any message has. Without a bound, an empty list of two bytes
takes 64 in memory, and Python's garbage collector goes through millions of them, again and again.
"""


class Json(Generic[T]):
    """
    A dependency that reads a message of `wire` out of the body, at most `most_bytes` of JSON.

    It is to follow the one that says who calls: dependencies are resolved in the order of the parameters.
    """

    def __init__(self, kind: type[T], *, most_bytes: int) -> None:
        self.kind, self.most_bytes = kind, most_bytes

    async def __call__(self, request: Request) -> T:
        """The message. Raises RefusalError where it is too large or something else, without repeating any of it."""
        _expect_same_version(request.headers.get(wire.VERSION_HEADER, ""))
        check_length(request.scope, self.most_bytes)
        body = await request.body()
        if len(body) <= INLINE_BYTES:
            return self._read(body)
        async with request.app.state.service.reading:
            return await run_in_threadpool(self._read, body)

    def _read(self, body: bytes) -> T:
        return read_json(self.kind, body)


def _expect_same_version(told: str) -> None:
    """What a client or worker of another version means is not guessed at; one that tells no version is no dt."""
    number, _, program = told.partition(" ")
    if number and number != str(wire.VERSION):
        raise RefusalError(
            426,
            f"this coordinator is dt {__version__} and speaks version {wire.VERSION} of the wire, you speak "
            f"version {number[:8]} {program[:32]}".rstrip(),
            hint="install the same version of dt on both sides",
        )


def read_json(kind: type[T], body: bytes) -> T:
    """A message of `wire`. Raises RefusalError."""
    if body.count(b"[") + body.count(b"{") > MOST_NESTED + len(body) // BYTES_OF_NESTED:
        raise RefusalError(422, "the body holds more lists and objects than any message does")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusalError(422, "the body is not JSON that can be read") from None
    try:
        return from_jsonable(kind, value, source="the body", quotes=False)
    except (UnreadableError, RecursionError) as error:
        raise RefusalError(422, getattr(error, "message", "the body is nested too deeply")) from None


async def seen_run(service: Service, caller: auth.Caller, run: str) -> dict[str, Any]:
    """The state of a run that the caller may see; for all others it does not exist."""
    state = await run_in_threadpool(views.run, service, run)
    if state is None or not caller.may_see(state["owner"], state["repository"]):
        raise RefusalError(404, "no such run, or not yours")
    state["why_waiting"] = await service.do(lambda _: views.why_waiting(service.desk, run))
    return state

"""The edge of the application: no body is read before its sender is known, and none beyond what its path takes."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect

from dt_action.coordinator.writer import RefusalError

ASGI = Any

REQUEST_ID: ContextVar[str] = ContextVar("dt_request", default="")
"""The id of the request that is being served; it stands in the log, in the audit and in the answer."""

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


class Failures:
    """
    How often an address brought wrong credentials lately.

    A right credential is never refused for what others from its address did: workers, clients and hostile tests may
    share one. So this is asked only about wrong ones, and makes trying them by the thousand quick to end.
    """

    def __init__(self, *, most: int = 100, within_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._within_s = within_s
        self._clock = clock
        self._since: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> bool:
        """One more; True where that is too many for now."""
        now = self._clock()
        begun, count = self._since.pop(address, (now, 0))
        if now - begun > self._within_s:
            begun, count = now, 0
        self._since[address] = begun, count + 1
        while len(self._since) > _MOST_ADDRESSES:
            self._since.popitem(last=False)
        return count + 1 > self._most


_MOST_ADDRESSES = 10_000


class InFlight:
    """How many requests of each kind somebody has under way, and all together have."""

    def __init__(self, *, most: int, most_of_one: int, what: str) -> None:
        self._most, self._most_of_one, self._what = most, most_of_one, what
        self._of: Counter[str] = Counter()
        self.count = 0

    @contextmanager
    def one(self, who: str) -> Iterator[None]:
        """One more, for as long as it lasts. Raises RefusalError: 429 for one's own limit, 503 for that of all."""
        if self._of[who] >= self._most_of_one:
            raise RefusalError(
                429, f"{self._most_of_one} {self._what} of yours are under way, as many as may be", retry_after_s=1
            )
        if self.count >= self._most:
            raise RefusalError(503, f"{self.count} {self._what} are under way, as many as may be", retry_after_s=1)
        self._of[who] += 1
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
            self._of[who] -= 1
            if not self._of[who]:
                del self._of[who]


@dataclass(slots=True)
class Passage:
    """
    A request on its way through. `most_bytes` of its body may be read: none until its sender is known.

    `who` that is, in words. `shares` holds what the request takes of limits, until its answer is sent.
    """

    id: str
    who: str = ""
    is_admitted: bool = False
    most_bytes: int = 0
    shares: ExitStack = field(default_factory=ExitStack)

    def counts_as(self, share: AbstractContextManager[None]) -> None:
        """From now on the request takes this share, and none of what it took before."""
        self.shares.close()
        self.shares.enter_context(share)


class Protection:
    """ASGI middleware: gives each request an id and a passage, bounds its body, and adds headers for browsers."""

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(self, scope: ASGI, receive: ASGI, send: ASGI) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = Passage(id=secrets.token_hex(6))
        scope["dt.passage"] = passage
        size = 0

        async def receive_bounded() -> Any:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > passage.most_bytes:
                raise RefusalError(413, f"the body may have at most {passage.most_bytes:,} bytes here")
            return message

        async def send_strictly(message: ASGI) -> None:
            if message["type"] == "http.response.start":
                own = [*SECURITY_HEADERS, (b"x-request-id", passage.id.encode())]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        token = REQUEST_ID.set(passage.id)
        try:
            with passage.shares:
                await self._app(scope, receive_bounded, send_strictly)
        except ClientDisconnect:
            pass  # nobody is there to be answered
        finally:
            REQUEST_ID.reset(token)


def passage_of(scope: ASGI) -> Passage:
    """The passage of a request."""
    passage: Passage = scope["dt.passage"]
    return passage


def check_length(scope: ASGI, most: int) -> None:
    """
    Let at most `most` bytes of the body be read. Raises RefusalError where its head says that it has more, and where
    nobody has admitted the request: a path that is not of the right form keeps its credential from being looked at.
    """
    if not passage_of(scope).is_admitted:
        raise RefusalError(422, "the path or the query is not one of this interface")
    passage_of(scope).most_bytes = most
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and (len(length) > 15 or int(length) > most):
        raise RefusalError(413, f"the body may have at most {most:,} bytes here")


MOST_REFUSAL_BYTES = 1000


def problem(message: str, hint: str = "") -> bytes:
    """The body of a refusal: at most `MOST_REFUSAL_BYTES`, whatever went into it."""
    body = json.dumps({"error": message, **({"hint": hint} if hint else {})}).encode()
    if len(body) <= MOST_REFUSAL_BYTES:
        return body
    return problem(f"{message[: len(message) // 2]} [...]") if len(message) > 80 else problem(message[:40])

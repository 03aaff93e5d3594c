"""What stands between the network and the application: sizes, times, and headers that keep browsers strict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import OrderedDict
from typing import Any

from dt_action.remote import wire

ASGI = Any

BODY_PATIENCE_S = 30.0
"""A sender that lets so many seconds pass between two pieces of a body is cut off."""

MOST_FAILURES = 30
"""So often a minute may one credential be refused from one address; others from there (a CI behind NAT) go on."""

MOST_FAILURES_OF_ALL = 1000
FAILURES_WITHIN_S = 60.0
MOST_ADDRESSES = 10_000
MOST_OF_CREDENTIAL = 20
"""`Bearer dtk_` and the id of a key: what tells credentials apart, without the secret."""

_IS_PARCEL = re.compile(rf"{wire.API}/leases/[0-9a-f]+/coverage/[0-9a-f]+")

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


class _BodyError(Exception):
    """The body is larger than it may be, or comes too slowly; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Failures:
    """How often somebody was refused lately, so that nobody can try keys by the thousand."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, list[float]] = OrderedDict()

    def is_too_many(self, address: str, credential: str) -> bool:
        """True where this credential, or the address with whatever it brought, was refused too often in a minute."""
        most = MOST_FAILURES if credential else MOST_FAILURES_OF_ALL
        return (
            len(self._recent(f"{address} {credential}")) >= most or len(self._recent(address)) >= MOST_FAILURES_OF_ALL
        )

    def add(self, address: str, credential: str) -> None:
        """The credential was refused."""
        for who in (address, f"{address} {credential}"):
            recent = self._recent(who)[-MOST_FAILURES_OF_ALL:]
            recent.append(time.monotonic())
            self._at[who] = recent
            self._at.move_to_end(who)
        while len(self._at) > MOST_ADDRESSES:
            self._at.popitem(last=False)

    def _recent(self, who: str) -> list[float]:
        oldest = time.monotonic() - FAILURES_WITHIN_S
        return [at for at in self._at.get(who, ()) if at > oldest]


class Protection:
    """ASGI middleware. Bodies of bundles may have `max_bundle_bytes`, all others `wire.MAX_BODY_BYTES`."""

    def __init__(self, app: ASGI, *, max_bundle_bytes: int) -> None:
        self._app = app
        self._max_bundle_bytes = max_bundle_bytes
        self._failures = Failures()

    async def __call__(self, scope: ASGI, receive: ASGI, send: ASGI) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = scope["client"][0] if scope.get("client") else ""
        presented = dict(scope["headers"]).get(b"authorization", b"")[:MOST_OF_CREDENTIAL].decode("latin-1")
        most = self._most_bytes(scope["method"], scope["path"])
        has_begun = False

        bounds = _Bounds(receive, most)

        async def send_strictly(message: ASGI) -> None:
            nonlocal has_begun
            if bounds.trouble is not None and not has_begun:
                return  # the framework's own answer to it, which does not say what was wrong
            if message["type"] == "http.response.start":
                has_begun = True
                if message["status"] == 401:
                    self._failures.add(address, presented)
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        if self._failures.is_too_many(address, presented):
            await _answer(send_strictly, 429, "too many refused requests; wait a minute")
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if length.isdigit() and int(length) > most:
            await _answer(send_strictly, 413, f"the body may have at most {most:,} bytes")
            return
        with contextlib.suppress(_BodyError):
            await self._app(scope, bounds.receive, send_strictly)
        trouble, bounds.trouble = bounds.trouble, None
        if trouble is not None and not has_begun:
            await _answer(send_strictly, trouble.status, str(trouble))

    def _most_bytes(self, method: str, path: str) -> int:
        if method == "PUT" and path.startswith(f"{wire.API}/blobs/"):
            return self._max_bundle_bytes
        if method == "PUT" and _IS_PARCEL.fullmatch(path):
            return wire.MAX_COVERAGE_BYTES
        return wire.MAX_BODY_BYTES


class _Bounds:
    """Receives the body of one request, at most `most` bytes, none late; `trouble` is what was wrong with it."""

    def __init__(self, receive: ASGI, most: int) -> None:
        self.trouble: _BodyError | None = None
        self._receive = receive
        self._most = most
        self._size = 0
        self._is_whole = False

    async def receive(self) -> Any:
        """The next piece."""
        if self._is_whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), BODY_PATIENCE_S)
        except asyncio.TimeoutError:
            raise self._refuse(408, f"nothing came for {BODY_PATIENCE_S:g} s") from None
        self._size += len(message.get("body", b""))
        self._is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._size > self._most:
            raise self._refuse(413, f"the body may have at most {self._most:,} bytes")
        return message

    def _refuse(self, status: int, text: str) -> _BodyError:
        self.trouble = _BodyError(status, text)
        return self.trouble


async def _answer(send: ASGI, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

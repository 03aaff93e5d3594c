"""The way to a coordinator: requests, what can go wrong on the way, and what of it is worth another try."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from dt_action import __version__
from dt_action.errors import FleetError
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.remote.wire import API, VERSION, VERSION_HEADER

T = TypeVar("T")
Cause = Literal["name", "connection", "tls", "timeout", "status", "answer"]

CONNECT_TIMEOUT_S = 10.0
MOST_ANSWER_BYTES = 256 << 20

HINTS: dict[Cause, str] = {
    "name": "check the host name in --coordinator, and the DNS of this machine",
    "connection": "is the coordinator running, is the port right, does a firewall stand between?",
    "tls": "for a certificate of your own authority set REQUESTS_CA_BUNDLE to its file",
    "timeout": "is the coordinator overloaded, or does a proxy hold the connection?",
    "status": "the coordinator's log says more",
    "answer": "is it a coordinator that answers there, of the same version?",
}


class LinkError(Exception):
    """
    A request without the wanted answer. `status` is HTTP's, 0 where none came.

    `may_pass` tells that the same request may succeed later.
    """

    def __init__(self, cause: Cause, message: str, *, status: int = 0, hint: str = "", wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.cause: Cause = cause
        self.message = message
        self.status = status
        self.hint = hint or HINTS[cause]
        self.wait_s = wait_s

    @property
    def may_pass(self) -> bool:
        """True for outages, overload and restarts; false for what is wrong as it stands."""
        return (
            self.cause in ("name", "connection", "timeout", "answer")
            or self.status in (408, 425, 429)
            or (self.status >= 500 and self.status != 501)
        )

    def as_fleet_error(self, url: str) -> FleetError:
        """The error that ends a run with exit code 7."""
        return FleetError(f"the coordinator {url}: {self.message}", hint=self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Ever longer waits between tries, a little random so that many do not come back at once."""

    first_s: float = 0.2
    most_s: float = 2.0
    random: Callable[[], float] = random.random

    def __iter__(self) -> Iterator[float]:
        wait_s = self.first_s
        while True:
            yield wait_s * (0.5 + self.random())
            wait_s = min(wait_s * 2, self.most_s)


class Link:
    """Requests to one coordinator, by one thread. `url` is its address without a path."""

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        import requests

        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "distributed-testing"
        self._session.headers[VERSION_HEADER] = f"{VERSION} (dt {__version__})"

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def post(self, path: str, message: Any, answer: type[T], *, token: str = "", timeout_s: float | None = None) -> T:
        """Send a message of `wire`, get one back. Raises LinkError."""
        body = json.dumps(to_jsonable(message), separators=(",", ":")).encode("ascii")
        response = self.request("POST", path, token=token, data=body, timeout_s=timeout_s)
        return self._read(response, answer)

    def get_json(self, path: str, *, token: str = "", accept: str = "application/json") -> Any:
        """What is at `path`. Raises LinkError."""
        response = self.request("GET", path, token=token, accept=accept)
        try:
            return response.json()
        except ValueError as error:
            raise LinkError("answer", f"the answer is not JSON: {error}") from None

    def request(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        data: Any = None,
        timeout_s: float | None = None,
        stream: bool = False,
        accept: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Any:
        """One request; its answer when the status is below 400. Raises LinkError."""
        import requests

        sent = {"Accept": accept, "Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            response = self._session.request(
                method,
                f"{self.url}{API}{path}",
                data=data,
                headers=sent,
                timeout=(CONNECT_TIMEOUT_S, timeout_s or self._timeout_s),
                stream=stream,
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise LinkError("tls", f"TLS failed: {_root(error)}") from None
        except requests.exceptions.Timeout as error:
            raise LinkError("timeout", f"no answer in time: {_root(error)}") from None
        except requests.exceptions.ConnectionError as error:
            raise _connection_trouble(error) from None
        except requests.exceptions.RequestException as error:
            raise LinkError("answer", f"the request failed: {_root(error)}") from None
        if response.status_code >= 300:
            raise _status_trouble(response)
        return response

    def _read(self, response: Any, answer: type[T]) -> T:
        from dt_action.errors import UnreadableError

        try:
            return from_jsonable(answer, response.json(), source="the coordinator's answer")
        except (ValueError, UnreadableError) as error:
            raise LinkError("answer", f"the answer cannot be read: {error}") from None


def patiently(
    work: Callable[[], T],
    *,
    patience_s: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Do `work`, again and again for `patience_s` seconds while what fails may pass. Raises the last LinkError."""
    give_up_at = clock() + patience_s
    for wait_s in Backoff():
        try:
            return work()
        except LinkError as error:
            longer_s = max(wait_s, min(error.wait_s, 30.0))
            if not error.may_pass or clock() + longer_s > give_up_at:
                raise
            sleep(longer_s)
    raise AssertionError("a backoff never ends")


def _connection_trouble(error: BaseException) -> LinkError:
    text = str(error)
    if "NameResolutionError" in text or "getaddrinfo" in text or "Name or service" in text or "resolve" in text:
        return LinkError("name", f"its name cannot be resolved: {_root(error)}")
    return LinkError("connection", f"no connection: {_root(error)}")


def _status_trouble(response: Any) -> LinkError:
    status: int = response.status_code
    told, hint, is_ours = "", "", True
    try:
        body = response.json()
        told, hint = str(body.get("error", "")), str(body.get("hint", ""))
        if not told and "detail" in body:
            told = json.dumps(body["detail"])[:500]
        is_ours = bool(told)
    except (ValueError, AttributeError):
        told, is_ours = str(response.text[:200]), False
    after = response.headers.get("Retry-After", "")
    wait_s = float(after) if after.isdigit() else 0.0
    cause: Cause = "status" if is_ours else "answer"  # else a proxy answered, and the coordinator may the next time
    return LinkError(cause, f"it answered {status}: {told}", status=status, hint=hint, wait_s=wait_s)


def _root(error: BaseException) -> str:
    """The innermost reason, which is the one a person can do something about."""
    seen: BaseException = error
    while True:
        inner = seen.__cause__ or seen.__context__ or getattr(seen, "reason", None)
        if inner is None:
            inner = next((arg for arg in seen.args if isinstance(arg, BaseException)), None)
        if not isinstance(inner, BaseException) or inner is seen:
            return str(seen)[:300]
        seen = inner

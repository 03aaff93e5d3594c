"""
One HTTP conversation with a CI service: retries that cannot duplicate, rate limits, paging, time limits.

What a service's paths and JSON mean is not known here.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from dt_action.errors import PublishingError

if TYPE_CHECKING:
    from requests import Response

Json = Any
PER_PAGE = 100
TIMEOUT_S = (10.0, 30.0)
"""Seconds to connect, and between two bytes of the answer."""


_P = ParamSpec("_P")
_T = TypeVar("_T")


class ApiError(PublishingError):
    """
    The service refused a request. `status` is 0 where it could not be reached at all.

    `is_rate_limit` tells that it would have been done at another time.
    """

    def __init__(self, message: str, *, status: int, hint: str = "", is_rate_limit: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.is_rate_limit = is_rate_limit


class UncertainError(ApiError):
    """A write whose answer never came or was a 5xx: it may have been done. Look before writing again."""


def understood(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function that reads answers raise ApiError for one that is not what the service's reference promises."""

    @functools.wraps(read)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ApiError(
                f"an answer was not understood: {type(error).__name__}: {error}"[:300],
                status=200,
                hint="is the API's address right, and does a proxy stand in between?",
            ) from error

    return reading


class Transport(Protocol):
    """The part of `requests.Session` that is used, so that a test can put its own in."""

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Json,
        params: Mapping[str, str | int],
        headers: Mapping[str, str],
        timeout: tuple[float, float],
    ) -> Response:
        """Send one request. Raises requests.RequestException."""


@dataclass(slots=True, kw_only=True)
class Rest:
    """
    A client of one service.

    A read, or a write that is marked `repeatable`, is tried again after a 5xx or a broken connection; any other write
    raises UncertainError then. Every request is tried again after a rate limit, since that one was surely not done.
    Writes are `write_pause_s` apart. All waiting together ends `patience_s` after the first request, so that
    publishing never holds up a job for an hour.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    transport: Transport | None = None
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random
    tries: int = 4
    write_pause_s: float = 1.0
    patience_s: float = 300.0
    _last_write: float = field(default=float("-inf"), init=False)
    _deadline: float | None = field(default=None, init=False)

    def get(self, path: str, **params: str | int) -> Json:
        """The answer to a read. Raises ApiError."""
        return self.request("GET", path, params=params, repeatable=True)

    def pages(self, path: str, key: str = "", **params: str | int) -> Iterator[Json]:
        """
        Every item of a paged list, at most `PER_PAGE` a request; `key` names the list inside the answer.

        The service says whether another page follows: one may hold fewer items than were asked for and not be the last,
        since GitLab takes out what this user may not see after it has counted.
        """
        for page in range(1, 1000):
            wanted = {"per_page": PER_PAGE, "page": page, **params}
            response, answer = self.answer("GET", path, params=wanted, repeatable=True)
            items = answer.get(key) if key and isinstance(answer, dict) else answer
            if not isinstance(items, list):
                raise ApiError(f"GET {path} was answered with no list", status=response.status_code)
            yield from items
            if not (response.links.get("next") if "link" in response.headers else len(items) >= PER_PAGE):
                return

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        params: Mapping[str, str | int] | None = None,
        repeatable: bool = False,
    ) -> Json:
        """Send a request and return the answer's JSON, None where there is none. Raises ApiError, UncertainError."""
        _, answer = self.answer(method, path, json=json, params=params, repeatable=repeatable)
        return answer

    def answer(
        self,
        method: str,
        path: str,
        *,
        json: Json = None,
        params: Mapping[str, str | int] | None = None,
        repeatable: bool = False,
        is_spaced: bool = True,
    ) -> tuple[Response, Json]:
        """
        The same with the response, whose status is below 400.

        A write that is not `is_spaced` is not held back: one of a few in a row that others wait for.
        """
        is_uncertain = method != "GET" and not repeatable
        attempt = 0
        while True:
            attempt += 1
            self._space_writes(method, is_spaced=is_spaced)
            response, cause = self._send(method, path, json, params)
            if response is not None and response.status_code < 400:
                return response, _decoded(response, method, path, uncertain=is_uncertain)
            wait_s = self._wait_before_retry(response, attempt, repeatable=repeatable)
            if wait_s is None or not self._has_patience(wait_s) or attempt >= self.tries:
                raise _error(response, cause, method, path, uncertain=is_uncertain)
            self.sleep(wait_s)

    def _send(
        self, method: str, path: str, json: Json, params: Mapping[str, str | int] | None
    ) -> tuple[Response | None, str]:
        import requests

        if not all(_can_be_sent(value) for value in self.headers.values()):
            raise ApiError(
                "the token cannot be sent: it holds blanks, line ends or letters that no token has",
                status=0,
                hint="copy it once more",
            )
        transport = self.transport = self.transport or requests.Session()
        if self._deadline is None:
            self._deadline = self.clock() + self.patience_s
        try:
            response = transport.request(
                method,
                f"{self.url.rstrip('/')}/{path.lstrip('/')}",
                json=json,
                params=dict(params or {}),
                headers=dict(self.headers),
                timeout=TIMEOUT_S,
            )
        except requests.RequestException as error:
            return None, _cause(error)
        return response, ""

    def _space_writes(self, method: str, *, is_spaced: bool) -> None:
        if method == "GET":
            return
        pause_s = self._last_write + self.write_pause_s - self.clock()
        if pause_s > 0 and is_spaced:
            self.sleep(pause_s)
        self._last_write = self.clock()

    def _wait_before_retry(self, response: Response | None, attempt: int, *, repeatable: bool) -> float | None:
        """Seconds to wait before the same request may be sent again; None where it may not be."""
        backoff_s = 2.0 ** (attempt - 1) * (0.5 + self.jitter())
        if response is None or response.status_code >= 500:
            return backoff_s if repeatable else None
        if not is_rate_limit(response):
            return None
        retry_after = response.headers.get("retry-after", "")
        if retry_after.isdigit():
            return float(retry_after) + self.jitter()
        reset = response.headers.get("x-ratelimit-reset", "")
        if response.headers.get("x-ratelimit-remaining") == "0" and reset.isdigit():
            return max(float(reset) - self.clock(), 0.0) + 1.0
        return 60.0 * 2.0 ** (attempt - 1) + self.jitter()

    def _has_patience(self, wait_s: float) -> bool:
        return self._deadline is None or self.clock() + wait_s <= self._deadline


def is_rate_limit(response: Response) -> bool:
    """
    True for a primary or secondary rate limit: 429, or a 403 that says so in a header or in words.

    https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if response.status_code == 429:
        return True
    return response.status_code == 403 and (
        "retry-after" in response.headers
        or response.headers.get("x-ratelimit-remaining") == "0"
        or "rate limit" in response.text[:2000].lower()
    )


def _can_be_sent(header: str) -> bool:
    return header.isascii() and header.isprintable() and header == header.strip()


def _decoded(response: Response, method: str, path: str, *, uncertain: bool) -> Json:
    if response.status_code == 204 or not response.content:
        return None
    try:
        return response.json()
    except (ValueError, RecursionError):
        kind = UncertainError if uncertain else ApiError
        raise kind(
            f"{method} {path} was answered with something that is not JSON: {response.text[:80]!r}",
            status=response.status_code,
            hint="is the API's address right, and does a proxy stand in between?",
        ) from None


def _error(response: Response | None, cause: str, method: str, path: str, *, uncertain: bool) -> ApiError:
    if response is None:
        kind = UncertainError if uncertain else ApiError
        return kind(f"{method} {path} was not answered: {cause}", status=0)
    kind = UncertainError if uncertain and response.status_code >= 500 else ApiError
    is_limited = is_rate_limit(response)
    limited = "; the rate limit did not end in time" if is_limited else ""
    said = f"{method} {path}: {response.status_code} {_reason(response)}{limited}"
    return kind(said, status=response.status_code, is_rate_limit=is_limited)


def _reason(response: Response) -> str:
    """The service's own words, cut; HTML and the like are left out."""
    try:
        answer = response.json()
    except ValueError:
        return response.reason or ""
    if not isinstance(answer, dict):
        return response.reason or ""
    words = [str(answer.get("message") or answer.get("error") or response.reason or "")]
    errors = answer.get("errors") or []
    for item in errors if isinstance(errors, list) else [errors]:
        words.append(str(item.get("message") or item.get("code") or "") if isinstance(item, dict) else str(item))
    return "; ".join(word for word in words if word)[:500]


def _cause(error: Exception) -> str:
    """The innermost reason, without the address and its query."""
    while error.__context__ is not None and isinstance(error.__context__, Exception):
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:200]

"""The fleet behind a coordinator: submits the plan, follows the stream of events, cancels when nobody listens."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dt_action.errors import FleetError, UnreadableError, no_session
from dt_action.fleets.coordinator_coverage import RemoteCoverage
from dt_action.model.event import Ended, Event, Notice
from dt_action.model.json_codec import from_jsonable
from dt_action.model.plan import Plan
from dt_action.ports import Fleet, Interruption
from dt_action.remote import wire
from dt_action.remote.bundle import Bundle, make_bundle
from dt_action.remote.link import Backoff, Link, LinkError, patiently

CONNECT_TIMEOUT_S = 30.0
"""How long a coordinator that does not answer is asked again before the run has begun."""

FOLLOW_PATIENCE_S = 300.0
"""The same for a run that is under way: a coordinator may be restarted or upgraded meanwhile."""

SILENCE_S = 15.0
"""A stream without a sign of life for so long is broken or held back: the coordinator gives one every 4 s."""

MOST_FRUITLESS = 2
"""So many streams in a row that told nothing, and the events are asked for page by page."""

CANCEL_PATIENCE_S = 10.0
LATE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorFleet:
    """
    Runs a plan on the workers of the coordinator at `url`.

    `credential` gives an API key, or a CI service's token. `submission` has everything but the plan, the bundle and
    the nonce. `fallback`, where there is one, runs the plan when the coordinator cannot be reached. `coverage`, where
    there is one, is brought what the slots measured.
    """

    url: str
    credential: Callable[[], str]
    root: Path
    submission: wire.Submission
    poll_interval_s: float = 15.0
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    follow_patience_s: float = FOLLOW_PATIENCE_S
    fallback: Callable[[], Fleet] | None = None
    coverage: RemoteCoverage | None = None
    interruption: Interruption | None = None
    pack: Callable[[Path], Bundle] = field(default=make_bundle)

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises FleetError where the run cannot begin, and what `errors.no_session` says."""
        try:
            run = self._begin(plan)
        except FleetError as error:
            if self.fallback is None:
                raise
            text = f"{error.message}; as --fallback asks, the tests run on this machine"
            yield Notice(level="warning", text=text)
            yield from self.fallback().execute(plan)
            return
        yield from run

    def _begin(self, plan: Plan) -> Iterator[Event]:
        submitted = self.submit(plan)
        way = Way(url=self.url, poll_interval_s=self.poll_interval_s, follow_patience_s=self.follow_patience_s)
        limit_s = self.submission.limits.run_timeout_s
        return Following(
            way,
            self.credential(),
            submitted,
            limit_s=limit_s,
            coverage=self.coverage,
            interruption=self.interruption,
        ).events()

    def submit(self, plan: Plan) -> wire.Submitted:
        """Begin the run, and leave it to itself. Raises FleetError."""
        bundle = self.pack(self.root)
        link = Link(self.url)
        try:
            return patiently(
                lambda: self._submit(link, self.credential(), plan, bundle), patience_s=self.connect_timeout_s
            )
        except LinkError as error:
            raise error.as_fleet_error(self.url) from error
        finally:
            link.close()

    def _submit(self, link: Link, token: str, plan: Plan, bundle: Bundle) -> wire.Submitted:
        from dataclasses import replace

        if not link.get_json(f"/blobs/{bundle.digest}", token=token)["present"]:
            headers = {"Content-Type": "application/gzip"}
            link.request(
                "PUT", f"/blobs/{bundle.digest}", token=token, data=bundle.content, headers=headers, timeout_s=300.0
            )
        nonce = secrets.token_hex(16)
        start = replace(self.submission.start, directory=bundle.directory)
        submission = replace(self.submission, plan=plan, bundle=bundle.digest, start=start, nonce=nonce)
        return patiently(
            lambda: link.post("/runs", submission, wire.Submitted, token=token), patience_s=self.connect_timeout_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """
    Follows the run `run`, which another client began: all of its events from the first on.

    Where that client detached, the run goes on when this one leaves.
    """

    url: str
    credential: Callable[[], str]
    run: str
    poll_interval_s: float = 15.0
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    follow_patience_s: float = FOLLOW_PATIENCE_S
    coverage: RemoteCoverage | None = None
    interruption: Interruption | None = None

    def followed(self) -> wire.Followed:
        """What the run is about. Raises FleetError."""
        link = Link(self.url)
        try:
            value = patiently(
                lambda: link.get_json(f"/runs/{self.run}/plan", token=self.credential()),
                patience_s=self.connect_timeout_s,
            )
            return from_jsonable(wire.Followed, value, source="the coordinator's answer")
        except LinkError as error:
            raise error.as_fleet_error(self.url) from error
        finally:
            link.close()

    def events(self, followed: wire.Followed) -> Iterator[Event]:
        """The run's events, each once. Leaving before the last one cancels the run, unless it was detached."""
        way = Way(url=self.url, poll_interval_s=self.poll_interval_s, follow_patience_s=self.follow_patience_s)
        return Following(
            way,
            self.credential(),
            wire.Submitted(run=self.run),
            coverage=self.coverage,
            cancels=followed.client_timeout_s is not None,
            interruption=self.interruption,
        ).events()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a run is followed: where, how often it is asked about, and how long its coordinator may stay away."""

    url: str
    poll_interval_s: float
    follow_patience_s: float


class Following:
    """
    A run, followed to its end: for no longer than `limit_s` and `LATE_S` where there is a limit.

    With `cancels` it is cancelled when its reader leaves before, and when an `interruption` is requested; then its
    tests tear down, and what comes of that is still told.
    """

    def __init__(
        self,
        way: Way,
        token: str,
        submitted: wire.Submitted,
        *,
        limit_s: float | None = None,
        coverage: RemoteCoverage | None = None,
        cancels: bool = True,
        interruption: Interruption | None = None,
    ) -> None:
        self._way = way
        self._link = Link(way.url)
        self._token = token
        self._submitted = submitted
        self._limit_s = limit_s
        self._brings = coverage
        self._cancels = cancels
        self._interruption = interruption if cancels else None
        self._after = 0
        self._is_over = False
        self._heard_at = time.monotonic()
        self._fruitless_streams = 0

    def events(self) -> Iterator[Event]:
        """The run's events, each once. Leaving before the last one cancels the run, see above."""
        yield Notice(level="info", text=f"run {self._submitted.run} on {self._way.url}")
        for warning in self._submitted.warnings:
            yield Notice(level="warning", text=warning)
        interruption = self._interruption
        try:
            with interruption.heeded(self._ask_to_cancel_aside) if interruption is not None else nullcontext():
                yield from self._events()
        finally:
            if not self._is_over:
                self._cancel()
            self._link.close()

    def _events(self) -> Iterator[Event]:
        for event in self._stream_events():
            if isinstance(event, wire.Refused):
                raise no_session(event.message, hint=event.hint, exit_code=event.exit_code)
            if isinstance(event, wire.Logged):
                continue
            if isinstance(event, Ended) and not self._is_over:
                self._is_over = True
                yield from self._coverage()
            yield event
            if self._is_over:
                return

    def _coverage(self) -> Iterator[Event]:
        if self._brings is not None:
            yield from self._brings.bring(self._link, self._submitted.run, self._token)

    def _stream_events(self) -> Iterator[wire.StreamEvent]:
        """Events from as many connections as it takes; an end of our own where the coordinator stays away."""
        started = time.monotonic()
        limit_s = self._limit_s
        backoff = iter(Backoff())
        while True:
            before = self._after
            try:
                yield from self._connection()
                trouble = ""
            except LinkError as error:
                if not error.may_pass:
                    yield self._ended("stopped", f"the coordinator: {error.message}")
                    return
                trouble = error.message
            now = time.monotonic()
            if self._after > before or not trouble:
                backoff = iter(Backoff())
            silent_s = now - self._heard_at
            if silent_s > self._way.follow_patience_s:
                yield self._ended("stopped", f"the coordinator stayed away for {silent_s:.0f} s: {trouble}")
                return
            if limit_s is not None and now - started > limit_s + LATE_S:
                yield self._ended("timeout", f"the run's timeout of {limit_s:g} s passed")
                return
            if trouble:
                time.sleep(next(backoff))

    def _ended(self, status: Any, reason: str) -> Ended:
        self._cancel()
        return Ended(status=status, reason=reason)

    def _connection(self) -> Iterator[wire.StreamEvent]:
        """One stream, or where streams do not come through, one page every `poll_interval_s`."""
        if self._fruitless_streams < MOST_FRUITLESS:
            try:
                yield from self._one_stream()
                return
            except LinkError as error:
                if error.status < 500 and error.status != 429:
                    raise
            yield from self._one_page()  # raises where it is the coordinator that is away, and not its streams only
            self._fruitless_streams += 1
        elif (yield from self._one_page()) < wire.MAX_EVENTS:
            time.sleep(self._way.poll_interval_s)

    def _one_page(self) -> Generator[wire.StreamEvent, None, int]:
        """The events that there are now; returns how many."""
        page = self._link.get_json(f"/runs/{self._submitted.run}/events?after={self._after}", token=self._token)
        self._heard_at = time.monotonic()
        for item in page:
            yield from self._read(item["id"], item["event"])
        return len(page)

    def _one_stream(self) -> Iterator[wire.StreamEvent]:
        """
        A stream until its end. Raises LinkError where it breaks, and where it ends without having told anything.

        A proxy may hold streams back, or cut them: one that brought no event and no second sign of life was fruitless.
        """
        import requests

        before, signs = self._after, 0
        try:
            response = self._link.request(
                "GET",
                f"/runs/{self._submitted.run}/events?after={self._after}",
                token=self._token,
                accept="text/event-stream",
                stream=True,
                timeout_s=SILENCE_S,
            )
            id = 0
            for line in response.iter_lines(chunk_size=None):
                self._heard_at = time.monotonic()
                signs += line.startswith(b":")
                if line.startswith(b"id: "):
                    id = int(line[4:])
                elif line.startswith(b"data: "):
                    yield from self._read(id, json.loads(line[6:]))
            trouble = "the stream ended before it told anything"
        except (requests.exceptions.RequestException, ValueError) as error:
            trouble = f"the stream broke off: {type(error).__name__}"
        except LinkError as error:
            if error.cause != "timeout":
                raise
            trouble = error.message
        if self._after > before or signs > 1:
            self._fruitless_streams = 0
            return
        self._fruitless_streams += 1
        raise LinkError("connection", trouble)

    def _read(self, id: int, value: Any) -> Iterator[wire.StreamEvent]:
        if id <= self._after:
            return
        try:
            event = wire.event_from_jsonable(value, source="the coordinator's event")
        except UnreadableError as error:
            raise LinkError("answer", str(error)) from None
        self._after = id
        if event is not None:
            yield event

    def _cancel(self) -> None:
        """Best effort, and once: the coordinator's own time limit ends the run if this does not arrive."""
        if self._is_over:
            return
        self._is_over = True
        if self._cancels:
            self._ask_to_cancel()

    def _ask_to_cancel_aside(self) -> None:
        """The run is to end: its tests tear down, and the events of that are still to come."""
        threading.Thread(target=self._ask_to_cancel, daemon=True).start()

    def _ask_to_cancel(self) -> None:
        link = Link(self._way.url, timeout_s=5.0)
        with suppress(LinkError):
            asked = wire.Cancel(reason="cancelled by its client")
            path = f"/runs/{self._submitted.run}/cancel"
            patiently(lambda: link.post(path, asked, wire.Cancelled, token=self._token), patience_s=CANCEL_PATIENCE_S)
        link.close()

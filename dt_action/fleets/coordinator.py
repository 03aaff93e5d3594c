"""The fleet behind a coordinator: submits the plan, follows the stream of events, cancels when nobody listens."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dt_action.errors import ConfigurationError, FleetError, UnreadableError
from dt_action.fleets.coordinator_coverage import RemoteCoverage
from dt_action.model.event import Ended, Event, Notice
from dt_action.model.plan import Plan
from dt_action.ports import Fleet
from dt_action.remote import wire
from dt_action.remote.bundle import Bundle, make_bundle
from dt_action.remote.link import Backoff, Link, LinkError, patiently

START_PATIENCE_S = 30.0
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
    start_patience_s: float = START_PATIENCE_S
    follow_patience_s: float = FOLLOW_PATIENCE_S
    fallback: Callable[[], Fleet] | None = None
    coverage: RemoteCoverage | None = None
    pack: Callable[[Path], Bundle] = field(default=make_bundle)

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises FleetError where the run cannot begin, ConfigurationError where pytest cannot."""
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
        bundle = self.pack(self.root)
        token = self.credential()
        link = Link(self.url)
        try:
            submitted = patiently(lambda: self._submit(link, token, plan, bundle), patience_s=self.start_patience_s)
        except LinkError as error:
            raise error.as_fleet_error(self.url) from error
        return _Following(self, link, token, submitted).events()

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
            lambda: link.post("/runs", submission, wire.Submitted, token=token), patience_s=self.start_patience_s
        )


class _Following:
    """A run that was begun, followed to its end."""

    def __init__(self, fleet: CoordinatorFleet, link: Link, token: str, submitted: wire.Submitted) -> None:
        self._fleet = fleet
        self._link = link
        self._token = token
        self._submitted = submitted
        self._after = 0
        self._is_over = False
        self._heard_at = time.monotonic()
        self._fruitless_streams = 0

    def events(self) -> Iterator[Event]:
        """The run's events, each once. Leaving before the last one cancels the run."""
        yield Notice(level="info", text=f"run {self._submitted.run} on {self._fleet.url}")
        for warning in self._submitted.warnings:
            yield Notice(level="warning", text=warning)
        try:
            for event in self._stream_events():
                if isinstance(event, wire.Refused):
                    raise ConfigurationError(event.message, hint=event.hint)
                if isinstance(event, wire.Logged):
                    continue
                if isinstance(event, Ended) and not self._is_over:
                    self._is_over = True
                    yield from self._coverage()
                yield event
                if self._is_over:
                    return
        finally:
            if not self._is_over:
                self._cancel()
            self._link.close()

    def _coverage(self) -> Iterator[Event]:
        if self._fleet.coverage is not None:
            yield from self._fleet.coverage.bring(self._link, self._submitted.run, self._token)

    def _stream_events(self) -> Iterator[wire.StreamEvent]:
        """Events from as many connections as it takes; an end of our own where the coordinator stays away."""
        started = time.monotonic()
        limit_s = self._fleet.submission.limits.run_timeout_s
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
            if silent_s > self._fleet.follow_patience_s:
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
                if error.status < 500:
                    raise
            yield from self._one_page()  # raises where it is the coordinator that is away, and not its streams only
            self._fruitless_streams += 1
        elif (yield from self._one_page()) < wire.MAX_EVENTS:
            time.sleep(self._fleet.poll_interval_s)

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
        link = Link(self._fleet.url, timeout_s=5.0)
        with suppress(LinkError):
            asked = wire.Cancel(reason="cancelled by its client")
            path = f"/runs/{self._submitted.run}/cancel"
            patiently(lambda: link.post(path, asked, wire.Cancelled, token=self._token), patience_s=CANCEL_PATIENCE_S)
        link.close()

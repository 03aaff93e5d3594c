"""One lease at work: a thread that owns the host of a slot, tells what it says, and passes commands on to it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dt_action.errors import ConfigurationError, DtError, UnreadableError
from dt_action.hosts.coverage_data import DATA_NAME
from dt_action.model.slot_protocol import (
    Died,
    Exit,
    Log,
    Message,
    Printed,
    Ready,
    Stop,
    Want,
    message_to_jsonable,
    parse_command,
)
from dt_action.ports import Heard, Left
from dt_action.remote import wire
from dt_action.remote.bundle import pack_files
from dt_action.remote.link import Backoff, Link, LinkError, patiently
from dt_action.worker.slot_hosts import LeaseHost, SlotHosts

_LOG = logging.getLogger("dt.worker")

FLUSH_S = 0.05
"""What a slot told waits at most so long for more of it, unless the slot waits for an answer."""

STOP_GRACE_S = 10.0
SAVE_GRACE_S = 60.0
"""A process that measures coverage has data to write before it ends."""

SEND_PATIENCE_S = 300.0
SEND_TIMEOUT_S = 300.0
MOST_AT_ONCE = 500
MOST_CHARACTERS_AT_ONCE = 2 << 20
"""Each may take six bytes in JSON, and the coordinator takes `wire.MAX_TOLD_BYTES`."""

OUTPUT_EVERY_S = 1.0
FETCH_TIMEOUT_S = 300.0
MOST_BUGS = 5
"""So many times is told what the coordinator cannot digest, before the lease is given up."""

NO_WORKSPACE = "the workspace could not be made"
"""How a slot is told to have died whose process was not even tried: its disk is full, the requirements fail, ..."""

_URGENT = (Want, Died, Ready, Exit)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotEnd:
    """How a lease ended, where not with its process: its whole worker is gone, or the worker gave it up, and why."""

    worker_left: str = ""
    given_up: str = ""


@dataclass(slots=True, kw_only=True)
class Outbox:
    """What was told and is not known to have arrived. `first` is the number of the oldest message."""

    first: int = 1
    messages: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, message: Message) -> None:
        """One more message."""
        self.messages.append(message_to_jsonable(message))

    def next(self) -> tuple[Mapping[str, Any], ...]:
        """The messages to tell now: as many as one request may hold, and one in any case."""
        size = 0
        for count, message in enumerate(self.messages[:MOST_AT_ONCE]):
            size += sum(len(value) for value in message.values() if isinstance(value, str))
            if count and size > MOST_CHARACTERS_AT_ONCE:
                return tuple(self.messages[:count])
        return tuple(self.messages[:MOST_AT_ONCE])

    def confirm(self, heard: int) -> None:
        """Everything up to message `heard` has arrived."""
        done = heard - self.first + 1
        if done > 0:
            del self.messages[:done]
            self.first += done


class SlotWork(threading.Thread):
    """
    Runs one lease to its end. `deliver` and `revoke` may be called from other threads.

    `ended` is told how the lease ended.
    """

    def __init__(
        self,
        lease: wire.Lease,
        *,
        link: Callable[[], Link],
        hosts: SlotHosts,
        fitness: Callable[[], str],
        ended: Callable[[wire.Lease, SlotEnd], None],
        backoff: Backoff,
    ) -> None:
        super().__init__(name=f"dt-{lease.slot}", daemon=True)
        self.lease = lease
        self.seen = 0
        self._make_link = link
        self._hosts = hosts
        self._fitness = fitness
        self._ended = ended
        self._backoff = backoff
        self._outbox = Outbox()
        self._lock = threading.Lock()
        self._inbox: list[wire.Numbered] = []
        self._host: LeaseHost | None = None
        self._is_revoked = False
        self._end = SlotEnd()
        self._stop_by: float | None = None
        self._wakes_at = 0.0
        self._flush_by = 0.0
        self._printed = 0
        self._listens_at = 0.0
        self._bugs = 0

    def deliver(self, commands: tuple[wire.Numbered, ...]) -> None:
        """Commands that came; those that came before are left out."""
        with self._lock:
            have = self._inbox[-1].number if self._inbox else self.seen
            self._inbox.extend(command for command in commands if command.number > have)
        self._wake()

    def revoke(self) -> None:
        """The lease is no longer ours: end the process, tell nothing more."""
        self._is_revoked = True
        self._wake()

    def _wake(self) -> None:
        host = self._host
        if host is not None:
            host.wake()

    def run(self) -> None:
        """The thread."""
        link = self._make_link()
        try:
            self._run(link)
        except Exception as error:
            _LOG.exception("lease %s ended by a bug", self.lease.id)
            self._outbox.add(Died(reason=f"the worker's agent failed: {error!r}"[:500]))
            self._tell_all(link)
        finally:
            self._hosts.leave(self.lease)
            link.close()
            self._ended(self.lease, self._end)

    def _run(self, link: Link) -> None:
        try:
            host = self._hosts.host(self.lease, lambda lease, path: _fetch(link, lease, path))
            unfit = self._fitness()
            if unfit:
                host.close()
                raise ConfigurationError(unfit)
        except (DtError, LinkError, OSError) as error:
            _LOG.warning("lease %s: %s: %s", self.lease.id, NO_WORKSPACE, error)
            self._outbox.add(Died(reason=NO_WORKSPACE, log_tail=_said(error), how="unmade"))
            self._tell_all(link)
            return
        self._host = host
        try:
            self._attend(link, host)
        except DtError as error:  # the engine or the cluster behind the host refuses
            self._outbox.add(Died(reason="the slot could not be kept up", log_tail=_said(error)))
        finally:
            self._host = None
            host.close()
        self._tell_all(link)

    def _attend(self, link: Link, host: LeaseHost) -> None:
        """Carry messages and commands until the process has ended, or the lease has. Raises DtError: see the host."""
        host.start(self.lease.slot, "", is_plain=self.lease.is_plain, visible=self.lease.visible)
        self._obey(host)
        backoff = iter(self._backoff)
        retry_at = 0.0
        while not self._is_revoked:
            for happened in host.poll(self._patience_s(retry_at)):
                if isinstance(happened, Heard) and isinstance(happened.message, Died):
                    _LOG.info("lease %s: %s", self.lease.id, happened.message.reason)
                    self._listen(host)
                    if self.lease.start.measures:
                        self._send_coverage(link, happened.message.root)
                    self._outbox.add(happened.message)
                    return
                if isinstance(happened, Heard):
                    self._note(happened.message)
                elif isinstance(happened, Left):
                    self._end = SlotEnd(worker_left=happened.reason)  # it says goodbye; that ends all of its leases
                    return
            self._obey(host)
            self._listen(host)
            now = time.monotonic()
            if self._stop_by is not None and now > self._stop_by:
                host.kill(self.lease.slot)
            if self._outbox.messages and now >= self._flush_by and now >= retry_at:
                try:
                    self._tell(link)
                    backoff, retry_at = iter(self._backoff), 0.0
                except LinkError as error:
                    retry_at = self._after_trouble(error, next(backoff))
                self._obey(host)

    def _patience_s(self, retry_at: float) -> float:
        now = time.monotonic()
        wait_s = 1.0
        if self._outbox.messages:
            wait_s = min(wait_s, max(self._flush_by, retry_at) - now)
        if self._stop_by is not None:
            wait_s = min(wait_s, self._stop_by - now)
        return max(0.0, wait_s) + 0.001

    def _note(self, message: Message) -> None:
        now = time.monotonic()
        if not self._outbox.messages:
            self._flush_by = now + FLUSH_S
        self._outbox.add(message)
        if isinstance(message, _URGENT) or len(self._outbox.messages) >= MOST_AT_ONCE:
            self._flush_by = now

    def _obey(self, host: LeaseHost) -> None:
        with self._lock:
            commands, self._inbox = self._inbox, []
        for numbered in commands:
            if numbered.number <= self.seen:
                continue
            self.seen = numbered.number
            if numbered.command.get("op") == "kill":
                host.kill(self.lease.slot, show_where=True)
                continue
            command = parse_command(numbered.command)
            if isinstance(command, Stop):
                self._stop_by = time.monotonic() + (SAVE_GRACE_S if self.lease.start.measures else STOP_GRACE_S)
            host.send(self.lease.slot, command)

    def _listen(self, host: LeaseHost) -> None:
        """Pass on what the process printed outside of pytest's capture, and that it printed at all."""
        now = time.monotonic()
        if now < self._listens_at:
            return
        self._listens_at = now + OUTPUT_EVERY_S
        text = host.new_output(self.lease.slot)
        if text:
            self._note(Log(text=text))
        if self.lease.no_output_timeout_s is not None:
            printed = host.output_bytes(self.lease.slot)
            if printed != self._printed:
                self._printed = printed
                self._note(Printed())

    def _tell(self, link: Link) -> None:
        outbox = self._outbox
        told = wire.Told(first=outbox.first, messages=outbox.next(), seen=self.seen)
        taken = link.post(f"/leases/{self.lease.id}/events", told, wire.Taken, token=self.lease.token)
        outbox.confirm(taken.heard)
        self.deliver(taken.commands)

    def _after_trouble(self, error: LinkError, wait_s: float) -> float:
        """When to try again; a lease whose messages the coordinator refuses for good is given up, and it is told so."""
        self._bugs = self._bugs + 1 if error.status == 500 else 0
        if error.may_pass and self._bugs < MOST_BUGS:
            _LOG.info("lease %s: %s; trying again", self.lease.id, error.message)
            return time.monotonic() + max(wait_s, min(error.wait_s, 5.0))
        _LOG.warning("lease %s is over: %s", self.lease.id, error.message)
        self._end = SlotEnd(given_up=error.message[:500])
        self._is_revoked = True
        return 0.0

    def _tell_all(self, link: Link) -> None:
        """Tell the rest, however long the coordinator is away, unless the lease is over."""
        for wait_s in self._backoff:
            if self._is_revoked or not self._outbox.messages:
                return
            try:
                self._tell(link)
            except LinkError as error:
                self._after_trouble(error, wait_s)
                time.sleep(wait_s)

    def _send_coverage(self, link: Link, root: str) -> None:
        """Send what the process measured, also where that is nothing: the run waits for it."""
        folder = self._hosts.data_folder(self.lease)
        archive = folder / "upload.tar.gz"
        try:
            digest = pack_files(sorted(folder.glob(f"{DATA_NAME}.*")), archive)
            path = f"/leases/{self.lease.id}/coverage/{digest}?{urlencode({'root': root})}"
            patiently(lambda: self._put(link, path, archive), patience_s=SEND_PATIENCE_S)
        except (LinkError, OSError) as error:
            _LOG.warning("lease %s: its coverage is lost: %s", self.lease.id, error)

    def _put(self, link: Link, path: str, archive: Path) -> None:
        if self._is_revoked:
            raise LinkError("status", "the lease was given away", status=410)
        with archive.open("rb") as file:
            link.request(
                "PUT",
                path,
                token=self.lease.token,
                data=file,
                headers={"Content-Type": "application/gzip"},
                timeout_s=SEND_TIMEOUT_S,
            )


def _said(error: Exception) -> str:
    """An error in one piece: of what a process said, the last line is what is shown first."""
    said = f"{error.message}; {error.hint}".removesuffix("; ") if isinstance(error, DtError) else str(error)
    return said[-16384:]


def _fetch(link: Link, lease: wire.Lease, path: Path) -> None:
    """Get the bundle of a lease; a transfer that broke off is tried again."""

    def fetch() -> None:
        import requests

        response = link.request(
            "GET", f"/leases/{lease.id}/bundle", token=lease.token, stream=True, timeout_s=FETCH_TIMEOUT_S
        )
        size = 0
        try:
            with path.open("wb") as file:
                for chunk in response.iter_content(1 << 20):
                    size += len(chunk)
                    if size > wire.MAX_BUNDLE_BYTES:
                        raise UnreadableError("the bundle is larger than a bundle may be")
                    file.write(chunk)
        except requests.exceptions.RequestException as error:
            raise LinkError("connection", f"the bundle broke off: {error}") from None

    patiently(fetch, patience_s=60.0)

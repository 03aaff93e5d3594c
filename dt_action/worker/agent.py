"""The agent: enrols this machine with a coordinator, asks for leases, and starts a thread for each."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from dt_action import __version__
from dt_action.errors import FleetError
from dt_action.model.hardware import Capability
from dt_action.remote import wire
from dt_action.remote.link import Backoff, Link, LinkError
from dt_action.worker.slot_hosts import SlotHosts
from dt_action.worker.slot_work import SlotEnd, SlotWork
from dt_action.worker.vitals import SelfReport

_LOG = logging.getLogger("dt.worker")

POLL_S = 20.0
TRIES_PER_LEASE = 6
"""About so many tries fall into the time in which a coordinator that is back must hear of this machine."""

PROBE_EVERY_S = 30.0


class DrainRequested(BaseException):
    """Raised by the signal handler in the midst of a poll."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this machine is to the coordinator. All of it stays in memory, where no test finds it on the disk."""

    worker: str
    jwt: str
    renew_at: float
    renewal: str


class Agent:
    """
    A worker. `probe` says what the machine has now; it is asked again before each lease. What is in
    `report` is told with each poll.

    It never dies of a coordinator that is away: what runs goes on, and is told when it is back. `drain` and `leave`
    are for other threads than that of `run`.
    """

    def __init__(
        self,
        *,
        url: str,
        token: str,
        name: str,
        slots: int,
        probe: Callable[[], Capability],
        hosts: SlotHosts,
        report: SelfReport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._report = report or SelfReport()
        self._token = token
        self._name = name
        self._slots = slots
        self._probe = probe
        self._hosts = hosts
        self._clock = clock
        self._boot = secrets.token_hex(8)
        self._capability = probe()
        self._probed_at = clock()
        self._announced: Capability | None = None
        self._identity: Identity | None = None
        self._lock = threading.Lock()
        self._work: dict[str, SlotWork] = {}
        self._given_up: dict[str, str] = {}
        self._link = Link(url)
        self._backoff = Backoff()
        self._is_leaving = False
        self.is_draining = False

    def run(self) -> None:
        """Work until drained. Raises FleetError where the coordinator refuses this machine."""
        backoff = iter(self._backoff)
        while not self._is_leaving and not (self.is_draining and not self._work):
            try:
                try:
                    self._once()
                    backoff = iter(self._backoff)
                except LinkError as error:
                    self._bear(error, next(backoff))
            except DrainRequested:
                if self.is_draining:
                    _LOG.warning("asked a second time: what runs is ended now")
                    self._revoke_all()
                    break
                _LOG.info("draining: no new leases; what runs is finished first")
                self.is_draining = True
                self._link.close()
                self._link = Link(self._url)
        if self._is_leaving:
            self._revoke_all()
        self._say_goodbye(self._link)

    @property
    def is_enrolled(self) -> bool:
        """True where the coordinator knows this worker."""
        return self._identity is not None

    def drain(self) -> None:
        """Take no new leases, and end when what runs is finished."""
        self.is_draining = True
        self._poll_at_once()

    def _poll_at_once(self) -> None:
        """Tell what changed, while a poll waits; that one is answered, too, and takes what there is."""
        identity = self._identity
        if identity is not None:
            with self._aside() as link, contextlib.suppress(LinkError):
                link.post("/leases", self._asked(wait_s=0.0), wire.Work, token=identity.jwt)

    def leave(self, why: str) -> None:
        """End what runs, and say goodbye: `why` the machine is no longer there, or no longer ours."""
        with self._lock:
            was_leaving, self._is_leaving = self._is_leaving, True
            held = [*self._work.values()]
        if was_leaving:
            return
        _LOG.warning("%s leaves: %s", self._name, why)
        for work in held:
            work.revoke()
        with self._aside() as link:
            self._say_goodbye(link)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[Link]:
        """A link for another thread than that of `run`."""
        link = Link(self._url, timeout_s=5.0)
        try:
            yield link
        finally:
            link.close()

    def _once(self) -> None:
        """One poll and what follows from it."""
        identity = self._identified()
        self._look_again()
        lines, number = self._report.untold()
        asked = self._asked(wait_s=1.0 if self.is_draining else POLL_S)
        asked = replace(asked, vitals=self._report.vitals(), log=lines)
        work = self._link.post("/leases", asked, wire.Work, token=identity.jwt, timeout_s=POLL_S + 20)
        self._report.confirm(number)
        self._announced = self._capability
        with self._lock:
            for id in asked.given_up:
                self._given_up.pop(id, None)
        if self._is_leaving:
            return
        for lease in work.leases:
            self._begin(lease)
        with self._lock:
            held = dict(self._work)
        for id, commands in work.commands.items():
            if id in held:
                held[id].deliver(commands)
        for id in work.revoked:
            if id in held:
                _LOG.info("lease %s was given away or is over", id)
                held[id].revoke()
        self._hosts.sweep()

    def _asked(self, *, wait_s: float) -> wire.Poll:
        with self._lock:
            holding = {id: work.seen for id, work in self._work.items()}
            given_up = dict(self._given_up)
        return wire.Poll(
            boot=self._boot,
            wait_s=wait_s,
            holding=holding,
            given_up=given_up,
            is_draining=self.is_draining,
            capability=self._capability if self._capability != self._announced else None,
        )

    def _begin(self, lease: wire.Lease) -> None:
        with self._lock:
            if lease.id in self._work:
                return
            work = self._work[lease.id] = SlotWork(
                lease,
                link=lambda: Link(self._url),
                hosts=self._hosts,
                fitness=self._fitness,
                ended=self._ended,
                backoff=self._backoff,
            )
        _LOG.info("lease %s: slot %s of run %s", lease.id, lease.slot, lease.run)
        work.start()

    def _ended(self, lease: wire.Lease, end: SlotEnd) -> None:
        if end.worker_left:
            self.leave(end.worker_left)  # first, so that the lease is not asked for again
        with self._lock:
            self._work.pop(lease.id, None)
            if end.given_up:
                self._given_up[lease.id] = end.given_up
        if end.given_up and not self._is_leaving:
            self._poll_at_once()

    # --- what this machine has ------------------------------------------------------------------------------------

    def _look_again(self) -> None:
        if self._clock() - self._probed_at > PROBE_EVERY_S:
            self._capability, self._probed_at = self._probe(), self._clock()

    def _fitness(self) -> str:
        """Why this machine no longer is what it was enrolled as; empty where it is."""
        now = self._probe()
        missing = [device for device in self._capability.devices if device not in now.devices]
        if not missing:
            return ""
        self._capability, self._probed_at = now, self._clock()
        return f"{', '.join(device.kind for device in missing)} is no longer there; the coordinator is told"

    # --- who this machine is --------------------------------------------------------------------------------------

    def _identified(self) -> Identity:
        if self._identity is None:
            self._identity = self._enrol()
        elif self._clock() > self._identity.renew_at:
            self._identity = self._renewed(self._identity)
        return self._identity

    def _enrol(self) -> Identity:
        asked = wire.Enrolment(
            name=self._name,
            boot=self._boot,
            slots=self._slots,
            capability=self._capability,
            version=__version__,
        )
        enrolled = self._link.post("/workers", asked, wire.Enrolled, token=self._token)
        self._announced = self._capability
        self._backoff = Backoff(most_s=min(Backoff().most_s, enrolled.lease_s / TRIES_PER_LEASE))
        if enrolled.notice:
            _LOG.warning("%s", enrolled.notice)
        _LOG.info("enrolled as %s with %d slots", enrolled.worker, self._slots)
        renew_at = self._clock() + enrolled.expires_s / 2
        return Identity(worker=enrolled.worker, jwt=enrolled.jwt, renew_at=renew_at, renewal=enrolled.renewal)

    def _renewed(self, identity: Identity) -> Identity:
        renewed = self._link.post(f"/workers/{identity.worker}/token", {}, wire.Renewed, token=identity.renewal)
        return replace(identity, jwt=renewed.jwt, renew_at=self._clock() + renewed.expires_s / 2)

    def _bear(self, error: LinkError, wait_s: float) -> None:
        """Wait out what may pass; get a new token, or enrol anew, where the coordinator does not know us (any more)."""
        if error.status == 401 and self._identity is not None:
            _LOG.warning("%s", error.message)
            self._identity = self._fresh_identity(self._identity)
            return
        if self._is_leaving:
            return
        if not error.may_pass and error.status != 404:  # a proxy, or a coordinator under way to another version
            raise error.as_fleet_error(self._url)
        _LOG.warning("%s; trying again", error.message)
        time.sleep(max(wait_s, min(error.wait_s, 30.0)))

    def _fresh_identity(self, identity: Identity) -> Identity | None:
        """With the renewal where it is still good, else none: the next poll enrols anew."""
        try:
            return self._renewed(identity)
        except LinkError as error:
            if error.status != 401:
                return identity
        self._revoke_all()
        return None

    def _revoke_all(self) -> None:
        with self._lock:
            held = [*self._work.values()]
        for work in held:
            work.revoke()
        for work in held:
            work.join(timeout=10.0)

    def _say_goodbye(self, link: Link) -> None:
        identity, self._identity = self._identity, None
        if identity is None:
            return
        try:
            link.request("DELETE", f"/workers/{identity.worker}", token=identity.jwt, timeout_s=5.0)
        except LinkError as error:
            _LOG.info("goodbye was not heard: %s", error.message)
        _LOG.info("drained")


def refuse_unless_safe(url: str) -> None:
    """Raise FleetError for plain HTTP to another machine: tokens and source code would cross the network openly."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise FleetError(
            f"{url} is plain HTTP to another machine",
            hint="use https://, or --allow-insecure-http on a trusted network",
        )

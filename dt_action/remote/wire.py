"""Every message between client, coordinator and worker, and the events of a run as JSON. Versioned by the path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from dt_action.model import event as events
from dt_action.model.event import Event
from dt_action.model.hardware import Capability
from dt_action.model.holding import Sharing, Visible
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PytestStart

API = "/api/v1"
"""The path of every call; it changes when a message would be misunderstood by the other side."""

VERSION = 3
"""Of the messages here: it grows when one side would misunderstand the other, though the paths are the same."""

VERSION_HEADER = "DT-Wire"
"""Clients and workers tell with it which version they speak, and of which dt: `2 (dt 1.0.0)`."""

IN_CONTAINERS = "isolation=container"
"""The label of a worker that runs every test in a container; a run with that isolation goes to such workers only."""

MAX_SUBMISSION_BYTES = 16 << 20
MAX_FILES = 100_000
MAX_PRIORITY = 1_000_000
MAX_TOLD_BYTES = 32 << 20
"""So much may stand in one message of a lease's events: the texts of one case have 4 MiB, six times that in JSON."""

MAX_BUNDLE_BYTES = 1 << 30
MAX_COVERAGE_BYTES = 256 << 20
"""So much coverage data of one slot is taken in, packed."""

MAX_MESSAGES = 2000
MAX_EVENTS = 500
"""So many events of a run come in one page; a page with fewer is the last one for now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """When to give up. Seconds; None is no limit. See `dt_action.engine.Limits`."""

    case_timeout_s: float | None = None
    collect_timeout_s: float | None = None
    no_output_timeout_s: float | None = None
    run_timeout_s: float | None = 3600.0
    retries: int = 0
    fail_fast: int = 0
    confirm_budget_s: float = 0.0
    gpu_sharing: Sharing = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """
    A run to be done: `plan` on the source tree whose archive has the digest `bundle`, started as `start` says.

    `nonce` makes a submission that is sent again the same run. `priority` is lowered to what the key allows.
    `build_url` leads to the CI job. The run is cancelled when nobody has followed it for `client_timeout_s`; None lets
    it run on by itself.
    """

    nonce: str
    bundle: str
    plan: Plan
    start: PytestStart
    limits: RunLimits = RunLimits()
    repository: str = ""
    commit: str = ""
    branch: str = ""
    build_url: str = ""
    priority: int = 0
    client_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """The run that a submission became, and the files that no worker present or expected can run, with why."""

    run: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Of a submission, what another client needs that follows its run."""

    plan: Plan
    limits: RunLimits = RunLimits()
    client_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A machine asks to be a worker, with an enrolment token. `boot` is new with each start of its agent."""

    name: str
    boot: str
    slots: int
    capability: Capability
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """
    A machine is a worker. `jwt` is good for `expires_s` seconds, `renewal` gets the next one.

    `lease_s` is how long a worker that is not heard of keeps its leases. `notice` is for whoever reads its log.
    """

    worker: str
    jwt: str
    expires_s: float
    renewal: str
    lease_s: float
    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The next JWT, good for `expires_s` seconds."""

    jwt: str
    expires_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """How a worker's machine fares: the load average of a minute, free memory, and the disk of its workspaces."""

    load: float = 0.0
    memory_free_bytes: int = 0
    disk_free_bytes: int = 0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """
    A worker asks what there is to do. `holding` has the number of the last command that it got for each lease,
    `given_up` why it holds leases no longer that were its own.

    `capability` is there when it changed. `wait_s` is how long the answer may take. `log` has the lines that the
    worker has logged since its last poll.
    """

    boot: str
    wait_s: float
    holding: Mapping[str, int] = field(default_factory=dict)
    given_up: Mapping[str, str] = field(default_factory=dict)
    is_draining: bool = False
    capability: Capability | None = None
    vitals: Vitals | None = None
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """
    One slot of the run `start.run`, for a worker. Only `token` speaks for it. It `is_plain` where it is the only one.
    It sees the devices that are `visible`, and whatever there is where nothing is said.

    Where the run measures, the worker sends the coverage data of the slot's process before it tells of its end. Runs of
    one `workspace` may follow each other in one tree on a worker; where it is empty, the run shares with none.
    """

    id: str
    token: str
    slot: str
    bundle: str
    start: PytestStart
    workspace: str = ""
    is_plain: bool = False
    visible: Visible | None = None
    no_output_timeout_s: float | None = None

    @property
    def run(self) -> str:
        """The run's name."""
        return self.start.run


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """A command of `slot_protocol` for a slot's process, or one for its worker: `{"op": "kill"}`."""

    number: int
    command: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The answer to a poll: new leases, commands by lease, and the leases that are no longer the worker's."""

    leases: tuple[Lease, ...] = ()
    commands: Mapping[str, tuple[Numbered, ...]] = field(default_factory=dict)
    revoked: tuple[str, ...] = ()
    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """
    What a slot told, in order: `messages[0]` has the number `first`. `seen` is the last command that arrived.

    Messages are read by `slot_protocol.parse_relayed`.
    """

    first: int
    messages: tuple[Mapping[str, Any], ...]
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The coordinator has everything up to message `heard` on disk; `commands` follow the last one seen."""

    heard: int
    commands: tuple[Numbered, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageUpload:
    """
    The coverage data that one slot's process left: a `tar.gz` of data files, by its digest.

    The paths in the data lie below `root`, where the source tree was on the `worker`.
    """

    digest: str
    root: str
    worker: str
    slot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageUploads:
    """
    What a run's slots measured so far. `is_whole` tells that nothing more will come.

    `lost` names the slots, in words, that were gone before their data was here.
    """

    is_whole: bool
    uploads: tuple[CoverageUpload, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """End a run early."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The run is about to end, or has ended."""

    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWish:
    """An operator wants an API key. `expires_s` is from now on; None is for ever. See `coordinator.auth.Quota`."""

    name: str
    scopes: tuple[str, ...] = ("submit", "read")
    repositories: tuple[str, ...] = ()
    expires_s: float | None = None
    max_slots: int = 0
    max_runs: int = 0
    max_priority: int = 0
    max_storage_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentWish:
    """An operator wants an enrolment token, for `uses` workers or for a pool of any size."""

    name: str = "worker"
    uses: int = 1
    is_pool: bool = False
    expires_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """An operator wants nothing new to begin; `reason` is what clients are told."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An event of the stream: no worker could start pytest for the run, or (`exit_code`) pytest ran no test."""

    message: str
    hint: str = ""
    exit_code: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """An event of the stream: what a slot's process printed outside of any captured test."""

    slot: str
    text: str


StreamEvent = Event | Refused | Logged

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        events.WorkerJoined,
        events.FilesKnown,
        events.FileCollected,
        events.FileSkipped,
        events.CaseStarted,
        events.CaseFinished,
        events.CaseUnplaced,
        events.Notice,
        events.Warned,
        events.SessionOver,
        events.OrderDependent,
        events.FixtureIsSingle,
        events.Ended,
        Refused,
        Logged,
    )
}


def event_to_jsonable(event: StreamEvent) -> dict[str, Any]:
    """An event of a run's stream; `kind` is the name of its type."""
    jsonable: dict[str, Any] = {"kind": type(event).__name__, **to_jsonable(event)}
    return jsonable


def event_from_jsonable(value: Any, *, source: str) -> StreamEvent | None:
    """The event that `event_to_jsonable` was given; None for a kind that a newer coordinator may tell."""
    kind = _KINDS.get(value.get("kind", "")) if isinstance(value, dict) else None
    return None if kind is None else cast("StreamEvent", from_jsonable(kind, value, source=source))

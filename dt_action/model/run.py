"""A run: everything that came of a plan. Totals and the conclusion are worked out from the results, never stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from dt_action.model.build import Build
from dt_action.model.case import Property, TestCase, TestResult
from dt_action.model.change import Change, FlakyRate, Owned, Selection, Tolerated
from dt_action.model.coverage import Coverage
from dt_action.model.event import Notice
from dt_action.model.hardware import Capability, Finding
from dt_action.model.paths import Paths
from dt_action.model.plan import Share

Conclusion = Literal["failed", "timeout", "cancelled", "incomplete", "passed", "skipped", "no-tests"]
"""`skipped`: every test skipped itself. `no-tests`: there was none. Neither says that the code works."""

CONCLUSIONS: tuple[Conclusion, ...] = get_args(Conclusion)
"""The worst first: what several runs say together is the first of these that one of them says."""

Status = Literal["completed", "cancelled", "timeout", "stopped"]


def worst(conclusions: Iterable[Conclusion]) -> Conclusion:
    """What runs with these conclusions say together; `no-tests` of none."""
    return min(conclusions, key=CONCLUSIONS.index, default="no-tests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A case that no worker could take, and why."""

    case: TestCase
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedFile:
    """A file that skipped itself as a whole, so that its cases are not known."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestWarning:
    """A warning that pytest recorded, `count` times: its class, its text, and where it was raised."""

    category: str
    text: str
    file: str
    line: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DependentFile:
    """A file whose tests failed as they were dealt out, split among processes or not, and pass in plain pytest."""

    path: str
    was_split: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleFixture:
    """A fixture that only one process can have at a time, and the files whose tests use it."""

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A machine that took part. `environment` names its interpreter, such as `linux, Python 3.13.0, pytest 9.2.0`."""

    name: str
    slots: int
    capability: Capability
    environment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """
    How many results have each outcome; `flaky` counts those that passed after a failed attempt.

    `skipped` counts a file that skipped itself as a whole as one, as pytest does.
    """

    passed: int = 0
    failed: int = 0
    error: int = 0
    skipped: int = 0
    xfailed: int = 0
    xpassed: int = 0
    timeout: int = 0
    crashed: int = 0
    lost: int = 0
    flaky: int = 0
    unplaced: int = 0

    @property
    def total(self) -> int:
        """Every result, and the cases that no worker could take."""
        return self.passed + self.skipped + self.xfailed + self.xpassed + self.lost + self.failing + self.unplaced

    @property
    def failing(self) -> int:
        """Everything that ran and makes the run red: failed, error, timeout, crashed."""
        return self.failed + self.error + self.timeout + self.crashed

    def line(self) -> str:
        """`N passed, N failed, N skipped`: all failing ones count as failed, xfailed as skipped, xpassed as passed."""
        return f"{self.passed + self.xpassed} passed, {self.failing} failed, {self.skipped + self.xfailed} skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    Everything that came of a plan.

    `results` are in the order in which their files were planned, then of the cases in them. `uncollected` names files
    that were planned and never collected. `collect_s` is the time that collecting took on all slots. `includes` are the
    ids of earlier attempts, whose results are in this one. `started_at` is Unix time in seconds. `tolerated` are
    failing results that do not make the run red (quarantined, or known from the baseline); `breaches` are gates that
    the run as a whole did not pass, a sentence each. `warnings` are pytest's; `plugin_summary` is what plugins print at
    a session's end. `order_dependent` are files whose tests need their order, `single_fixtures` what a second process
    waited for in vain. `not_run` are cases that were collected and not begun when the tests themselves, or an option,
    ended the run. `exit_code` is what `pytest.exit`, or a plugin in its last hooks, asked for. `properties` are those
    that tests recorded of the whole session. `is_selection` tells that some tests were left out on purpose. `shard`
    names the static share that this run was, such as `2/4`, and `share` what of the plan that is. `paths` says where
    the files lie that the results are of; None where nobody knows. `output_dir` is where the reports and what tests
    left lie, from where dt was started. `untested_commit` is the commit that the build is for, where something else was
    checked out that does not hold it: what the run says is nothing that this commit could be called green for.
    """

    id: str
    build: Build = field(default_factory=Build)
    results: tuple[TestResult, ...] = ()
    uncollected: tuple[str, ...] = ()
    unplaced: tuple[Unplaced, ...] = ()
    skipped_files: tuple[SkippedFile, ...] = ()
    workers: tuple[WorkerInfo, ...] = ()
    findings: tuple[Finding, ...] = ()
    notices: tuple[Notice, ...] = ()
    warnings: tuple[PytestWarning, ...] = ()
    plugin_summary: str = ""
    properties: tuple[Property, ...] = ()
    order_dependent: tuple[DependentFile, ...] = ()
    single_fixtures: tuple[SingleFixture, ...] = ()
    not_run: tuple[str, ...] = ()
    exit_code: int | None = None
    shard: str = ""
    share: Share | None = None
    missing_shards: tuple[str, ...] = ()
    includes: tuple[str, ...] = ()
    coverage: Coverage | None = None
    change: Change | None = None
    tolerated: tuple[Tolerated, ...] = ()
    breaches: tuple[str, ...] = ()
    flaky_rates: tuple[FlakyRate, ...] = ()
    owners: tuple[Owned, ...] = ()
    selection: Selection | None = None
    is_selection: bool = False
    status: Status = "completed"
    reason: str = ""
    started_at: float = 0.0
    makespan_s: float = 0.0
    collect_s: float = 0.0
    command: str = ""
    paths: Paths | None = None
    output_dir: str = ""
    untested_commit: str = ""

    def totals(self) -> Totals:
        """Count the results by outcome."""
        outcomes: Counter[str] = Counter(result.outcome for result in self.results)
        outcomes["skipped"] += len(self.skipped_files)
        return Totals(**outcomes, flaky=sum(result.is_flaky for result in self.results), unplaced=len(self.unplaced))

    def conclusion(self) -> Conclusion:
        """
        What the run says as a whole.

        A test that was planned and did not report, that no worker could take, or a shard that never came makes it
        `incomplete`: it can never look green. A failure outranks everything, since it is certain. Where nothing ran,
        nothing passed.
        """
        totals = self.totals()
        if self.breaches or self.failures():
            return "failed"
        if self.status in ("cancelled", "timeout"):
            return "cancelled" if self.status == "cancelled" else "timeout"
        if totals.lost or totals.unplaced or self.uncollected or self.missing_shards or self.status == "stopped":
            return "incomplete"
        if totals.total > totals.skipped:
            return "passed"
        return "skipped" if totals.skipped else "no-tests"

    @property
    def is_whole(self) -> bool:
        """True where everything was planned and nothing is missing: no selection, no shard, no early end."""
        return (
            not (self.is_selection or self.shard)
            and self.status == "completed"
            and not (self.uncollected or self.missing_shards or any(item.outcome == "lost" for item in self.results))
        )

    def failures(self) -> tuple[TestResult, ...]:
        """The results that make the run red: those that fail and are not tolerated."""
        tolerated = {item.id for item in self.tolerated}
        return tuple(item for item in self.results if item.final.is_failing and item.id not in tolerated)

    @property
    def slots(self) -> int:
        """Places over all workers."""
        return sum(worker.slots for worker in self.workers)

    @property
    def even_share_s(self) -> float:
        """Seconds of work for each slot, spread evenly: every attempt and the collection of every file."""
        worked = sum(attempt.duration_s for result in self.results for attempt in result.attempts)
        return (worked + self.collect_s) / max(self.slots, 1)

    @property
    def lower_bound_s(self) -> float:
        """The seconds that no schedule on as many slots can beat: the even share or the longest case."""
        durations = (attempt.duration_s for result in self.results for attempt in result.attempts)
        return max(self.even_share_s, max(durations, default=0.0))

"""The fleet that is this machine: processes, no server, nothing to configure."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dt_action.dispatch import Action, Assign, Collected, Dispatcher, Drop, Grant, Kill, Limits, Rest, Stop, Tell
from dt_action.errors import ConfigurationError
from dt_action.hosting import Died, Heard, Host, Measuring, Session
from dt_action.model.case import Attempt
from dt_action.model.event import Event, WorkerJoined
from dt_action.model.hardware import Capability
from dt_action.model.plan import Plan, Unit

WORKER = "local"
TICK_S = 0.1
STOP_GRACE_S = 5.0
SAVE_GRACE_S = 60.0
"""A process that measures coverage has data to write before it ends."""

MOST_FAILED_STARTS = 3
_CONFTEST = re.compile(r"while loading conftest '(?P<path>[^'\n]+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFleet:
    """
    Runs a plan in `workers` processes of the interpreter `python`, started in `root` with pytest's arguments `args`.

    `isolation` is `session` (a process lives as long as it can) or `file` (a fresh process for each file).

    `environ` is what the tests see of the environment: pass none of our secrets in it.
    """

    root: Path
    python: str
    workers: int
    capability: Capability
    args: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    isolation: str = "session"
    environ: Mapping[str, str] = field(default_factory=dict)
    measuring: Measuring | None = None

    def execute(self, plan: Plan) -> Iterator[Event]:
        """See `ports.Fleet`. Raises ConfigurationError where pytest cannot be started or refuses its arguments."""
        session = Session(
            run=uuid.uuid4().hex,
            root=self.root,
            python=self.python,
            args=self.args,
            slots=self.workers,
            environ=self.environ,
            measuring=self.measuring,
        )
        with Host(session) as host:
            yield from _Execution(self, plan, host).events()


class _Execution:
    """One run of a plan: carries what the slots tell to the brain, and what the brain decides to the slots."""

    def __init__(self, fleet: LocalFleet, plan: Plan, host: Host) -> None:
        self._fleet = fleet
        self._host = host
        self._files = len(plan.files)
        self._plan = plan
        self._limits = replace(fleet.limits, batch_s=0.0) if fleet.isolation == "file" else fleet.limits
        self._brain = Dispatcher(plan, self._limits, now=time.monotonic())
        self._used: set[str] = set()
        self._making_way: set[str] = set()
        self._names = 0
        self._is_ready = False
        self._failed_starts = 0
        self._starting: set[str] = set()
        self._killed: dict[str, Kill] = {}
        self._printed: dict[str, int] = {}

    def events(self) -> Iterator[Event]:
        self._brain.worker_joined(WORKER, self._fleet.capability)
        for _ in range(min(self._fleet.workers, max(1, self._files))):
            self._start()
        next_tick = time.monotonic() + TICK_S
        while not self._brain.is_finished:
            for happened in self._host.poll(max(0.0, next_tick - time.monotonic())):
                if isinstance(happened, Died):
                    yield from self._do(self._died(happened))
                else:
                    yield from self._heard(happened)
            if time.monotonic() >= next_tick:
                self._listen()
                yield from self._do(self._brain.tick(time.monotonic()))
                self._start_missing()
                next_tick = time.monotonic() + TICK_S
        self._host.close(grace_s=SAVE_GRACE_S if self._fleet.measuring else STOP_GRACE_S)

    # --- slots ----------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        slot = f"gw{self._names}"
        self._names += 1
        self._host.start(slot)
        self._starting.add(slot)

    def _start_missing(self) -> None:
        """A new process for one that died, or one more where a file turned out to be worth splitting."""
        living = len(self._host.slots)
        if living < self._fleet.workers and not self._starting and self._brain.wants_slots:
            self._start()

    def _listen(self) -> None:
        if self._fleet.limits.no_output_timeout_s is None:
            return
        for slot in self._host.slots:
            printed = self._host.output_bytes(slot)
            if printed != self._printed.get(slot):
                self._printed[slot] = printed
                self._brain.heard(slot, time.monotonic())

    # --- from the slots to the brain ------------------------------------------------------------------------------

    def _heard(self, heard: Heard) -> Iterator[Event]:
        slot, message, now = heard.slot, heard.message, time.monotonic()
        brain, event = self._brain, message["e"]
        if event == "ready":
            yield from self._ready(slot, message, now)
        elif event == "started":
            yield from self._do(brain.case_started(slot, message["id"], now, at=time.time()))
        elif event == "finished":
            yield from self._do(brain.case_finished(slot, message["id"], _attempt(message), now))
            yield from self._do(self._make_way(slot, now))
        elif event == "want":
            if message["seen"] == self._host.sent(slot):
                yield from self._do(self._wants(slot, now))
        elif event == "collecting":
            yield from self._do(brain.collecting(slot, message["file"], now))
        elif event == "collected":
            mine, withheld = _cases(message["cases"]), _cases(message["withheld"])
            took_s = message["duration_s"]
            yield from self._do(brain.collected(slot, message["file"], mine, withheld, duration_s=took_s, now=now))
        elif event == "uncollectable":
            attempt = Attempt(outcome="error", message=message["message"], detail=message["detail"], slot=slot)
            yield from self._do(brain.uncollectable(slot, message["id"], attempt, now))
        elif event == "file_skipped":
            yield from self._do(brain.file_skipped(slot, message["file"], message["reason"]))
        elif event == "exit":
            yield from self._do(brain.cancel("stopped", message["reason"], now))

    def _ready(self, slot: str, message: dict[str, Any], now: float) -> Iterator[Event]:
        self._starting.discard(slot)
        if not self._is_ready:
            self._is_ready = True
            environment = f"{self._fleet.capability.platform}, Python {message['python']}, pytest {message['pytest']}"
            yield WorkerJoined(
                worker=WORKER, slots=self._fleet.workers, capability=self._fleet.capability, environment=environment
            )
            self._rebase(Path(message["root"]), now)
            yield from self._do(self._brain.files_known(message["files"], now))
        yield from self._do(self._brain.slot_joined(slot, WORKER, now))

    def _rebase(self, rootdir: Path, now: float) -> None:
        """pytest names files from its rootdir, which may lie above the folder we were started in."""
        root = self._fleet.root.resolve()
        if rootdir.resolve() == root:
            return
        files = tuple(replace(file, path=_relative(str(root / file.path), rootdir)) for file in self._plan.files)
        self._brain = Dispatcher(replace(self._plan, files=files), self._limits, now=now)
        self._brain.worker_joined(WORKER, self._fleet.capability)

    def _died(self, died: Died) -> list[Action]:
        now = time.monotonic()
        if died.slot in self._starting:
            self._starting.discard(died.slot)
            return self._failed_to_start(died, now)
        kill = self._killed.pop(died.slot, None)
        reason, outcome = (kill.reason, kill.outcome) if kill else (died.reason, "crashed")
        return self._brain.slot_lost(died.slot, outcome, reason, detail=_crash_detail(died.log_tail), now=now)

    def _failed_to_start(self, died: Died, now: float) -> list[Action]:
        """pytest itself could not start: the same for every slot, unless it had worked before."""
        conftest = _CONFTEST.search(died.log_tail)
        self._failed_starts += 1
        if self._is_ready and self._failed_starts < MOST_FAILED_STARTS:
            return []
        if conftest is None and not self._is_ready:
            raise _start_error(self._fleet.python, died)
        id = _relative(conftest["path"], self._fleet.root) if conftest else "pytest"
        message = died.log_tail.strip().rpartition("\n")[2] or died.reason
        attempt = Attempt(outcome="error", message=message, detail=died.log_tail)
        blamed = self._brain.cannot_start(id, attempt, now)
        return [*blamed, *self._brain.cancel("stopped", f"pytest could not start: {message}", now)]

    def _wants(self, slot: str, now: float) -> list[Action]:
        """Under file isolation a process that has had its file makes way for a fresh one."""
        if self._fleet.isolation != "file" or self._brain.holds_work(slot):
            return self._brain.wants(slot, now)
        if slot not in self._used:
            self._used.add(slot)
            return self._brain.wants(slot, now)
        self._making_way.add(slot)
        if self._brain.is_running(slot):
            return [Rest(slot=slot)]  # first the teardown, which belongs to the last test
        return self._make_way(slot, now)

    def _make_way(self, slot: str, now: float) -> list[Action]:
        if slot not in self._making_way or self._brain.is_finished:
            return []
        self._making_way.discard(slot)
        left = self._brain.slot_left(slot, now)
        self._start()
        return [Stop(slot=slot), *left]

    # --- from the brain to the slots ------------------------------------------------------------------------------

    def _do(self, actions: Sequence[Action]) -> Iterator[Event]:
        for action in actions:
            match action:
                case Tell(event):
                    yield event
                case Assign():
                    units = [_unit_message(unit) for unit in action.batch.units]
                    self._host.send(action.slot, op="run", units=units, credit=action.credit)
                case Grant():
                    self._host.send(action.slot, op="go", credit=action.credit)
                case Drop():
                    self._host.send(action.slot, op="drop", cases=action.cases, files=action.files)
                case Rest():
                    self._host.send(action.slot, op="rest")
                case Stop():
                    self._host.send(action.slot, op="stop")
                case Kill():
                    self._killed[action.slot] = action
                    self._host.kill(action.slot, show_where=True)


def _unit_message(unit: Unit) -> dict[str, Any]:
    return {"file": unit.file, "cases": unit.cases, "withheld": unit.withheld, "only": unit.only}


def _attempt(message: dict[str, Any]) -> Attempt:
    return Attempt(
        outcome=message["outcome"],
        duration_s=message["duration_s"],
        started_at=message["started_at"],
        message=message.get("message", ""),
        detail=message.get("detail", ""),
        stdout=message.get("stdout", ""),
        stderr=message.get("stderr", ""),
    )


def _cases(described: Sequence[dict[str, Any]]) -> list[Collected]:
    return [
        Collected(id=case["id"], line=case["line"], group=case.get("group", ""), markers=tuple(case.get("marks", ())))
        for case in described
    ]


def _crash_detail(log_tail: str) -> str:
    """The part of a dead process's output that says why: from faulthandler's report on, else the last lines."""
    start = log_tail.rfind("Fatal Python error")
    return log_tail[start:] if start >= 0 else "\n".join(log_tail.splitlines()[-20:])


def _relative(path: str, root: Path) -> str:
    try:
        return Path(path).resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path


def _start_error(python: str, died: Died) -> ConfigurationError:
    if "No module named 'pytest'" in died.log_tail:
        return ConfigurationError(
            f"{python} has no pytest",
            hint=f"install it (`{python} -m pip install pytest`), or name the tests' interpreter with --python",
        )
    said = died.log_tail.strip() or "nothing"
    if "coverage cannot be imported" in said:
        return ConfigurationError(
            f"--coverage needs coverage.py in the tests' environment, and {python} has none; it said:\n{said}",
            hint=f"install it: {python} -m pip install coverage",
        )
    if "coverage cannot be measured" in said:
        return ConfigurationError(said, hint="check the project's settings for coverage.py (docs/coverage.md)")
    return ConfigurationError(
        f"pytest did not start ({died.reason}); it said:\n{said}",
        hint="check --test-dir, --pytest-args, pytest.ini",
    )

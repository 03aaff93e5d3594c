"""`dt worker`: be a worker of a coordinator, or show what this machine has."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from dt_action.cli.arguments import Parser
from dt_action.cli.worker_kinds import WorkerSpecs, add_options, check, container_workers, ray_workers
from dt_action.errors import ConfigurationError
from dt_action.model.hardware import Capability, Device

if TYPE_CHECKING:
    from dt_action.worker.vitals import SelfReport
    from dt_action.worker.workspaces import Workspaces

DATA = "dt-worker"
_HIDDEN = re.compile(r"^(DT_|COORDINATOR_)", re.IGNORECASE)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Work until SIGTERM, which lets what runs finish."""
    parser = Parser("worker", "run tests that a coordinator hands out")
    parser.add_argument("--coordinator", metavar="URL", help="address of the coordinator")
    parser.add_argument("--token", help="enrolment token; better in DT_WORKER_TOKEN or a file")
    parser.add_argument("--token-fd", type=int, metavar="N", help="descriptor that the enrolment token is read from")
    parser.add_argument("--token-file", metavar="FILE", help="file that holds the enrolment token")
    parser.add_argument("--name", help="name of this worker [the host's]")
    parser.add_argument("--slots", type=int, metavar="N", help="how many tests run at a time [one for each processor]")
    parser.add_argument("--labels", nargs="+", metavar="WORD", help="words that tests can ask for")
    parser.add_argument(
        "--device", nargs="+", metavar="KIND", help="devices that no probe finds, such as npu, or cuda[24GiB]>=2"
    )
    parser.add_argument("--python", metavar="PATH", help="interpreter in which tests run [the one that runs dt]")
    parser.add_argument("--data", metavar="DIRECTORY", help=f"where workspaces and environments are kept [{DATA}]")
    parser.add_argument("--allow-insecure-http", action="store_true", help="plain HTTP to another machine")
    add_options(parser)
    parser.add_argument("--probe", action="store_true", help="show what this machine has, and why dt thinks so")
    given = parser.parse(argv)
    check(given)
    declared = _declared(getattr(given, "device", ()))
    labels = frozenset(getattr(given, "labels", ()))

    def probe() -> Capability:
        from dt_action.probes import numbered, this_machine

        found = this_machine(environ)
        return replace(found, devices=(*found.devices, *numbered(declared)), labels=found.labels | labels)

    if hasattr(given, "probe"):
        return _show(probe(), environ)
    from dt_action.worker.agent import refuse_unless_safe

    url = getattr(given, "coordinator", environ.get("COORDINATOR_URL", ""))
    if not url:
        raise ConfigurationError("no coordinator is named", hint="add --coordinator https://dt.example.org")
    if not hasattr(given, "allow_insecure_http"):
        refuse_unless_safe(url)
    token = _token(given, environ)
    if os.name == "posix" and not hasattr(given, "token_fd"):
        _start_anew_without(token, argv, environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if hasattr(given, "ray"):
        with ray_workers(given, getattr(given, "name", "")) as specs:
            return _work_as_pool(specs, url, token)
    name = getattr(given, "name", "") or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())
    workspaces = _workspaces(given, environ)
    if getattr(given, "isolation", "session") == "container":
        with container_workers(given, environ, name, probe, workspaces) as specs:
            return _work_as_pool(specs, url, token)
    return _work(url, token, name, getattr(given, "slots", 0), probe, workspaces)


def _workspaces(given: Namespace, environ: Mapping[str, str]) -> Workspaces:
    from dt_action.worker.workspaces import Workspaces
    from dt_action.workspace.environments import run_command

    python = getattr(given, "python", environ.get("DT_PYTHON") or environ.get("DT_DEFAULT_PYTHON") or sys.executable)
    return Workspaces(
        Path(getattr(given, "data", DATA)).resolve(),
        python=os.path.abspath(python),  # noqa: PTH100 - keeps a venv's link
        environ={name: value for name, value in environ.items() if not _HIDDEN.match(name)},
        run=run_command,
    )


def _work(url: str, token: str, name: str, slots: int, probe: Callable[[], Capability], workspaces: Workspaces) -> int:
    """Work as one worker, whose slots are processes here."""
    from dt_action.worker.agent import Agent, DrainRequested
    from dt_action.worker.slot_hosts import ProcessHosts

    processors = probe().cpu_count
    agent = Agent(
        url=url,
        token=token,
        name=name,
        slots=slots or processors,
        probe=probe,
        hosts=ProcessHosts(workspaces, fair_threads=max(1, processors // (slots or processors))),
        report=_self_report(workspaces.home),
    )

    def drain(signum: int, frame: FrameType | None) -> None:
        raise DrainRequested

    _on_end(drain)
    agent.run()
    return 0


def _work_as_pool(specs: WorkerSpecs, url: str, token: str) -> int:
    """Work as several workers, each with an agent of its own."""
    from dt_action.worker.agent import Agent
    from dt_action.worker.pool import WorkerPool, WorkerSpec

    def make_agent(spec: WorkerSpec) -> Agent:
        return Agent(
            url=url,
            token=token,
            name=spec.name,
            slots=spec.slots,
            probe=spec.probe,
            hosts=spec.hosts,
            report=_self_report(None),
        )

    pool = WorkerPool(specs, make_agent)
    _on_end(pool.ask)
    pool.run()
    return 0


def _self_report(folder: Path | None) -> SelfReport:
    """What the worker tells of itself; it hears what is logged from now on."""
    from dt_action.worker.vitals import SelfReport

    report = SelfReport(folder)
    logging.getLogger("dt.worker").addHandler(report)
    return report


def _on_end(handler: Callable[[int, FrameType | None], Any]) -> None:
    for name in ("SIGTERM", "SIGINT", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), handler)


def _token(given: Namespace, environ: Mapping[str, str]) -> str:
    if hasattr(given, "token_fd"):
        with os.fdopen(given.token_fd, encoding="utf-8") as file:
            return file.read().strip()
    token = getattr(given, "token", "") or environ.get("DT_WORKER_TOKEN", "")
    if hasattr(given, "token_file"):
        try:
            token = Path(given.token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"--token-file {given.token_file} cannot be read: {error.strerror}") from None
    if not token:
        raise ConfigurationError(
            "no enrolment token", hint="make one with `dt coordinator enrol`; add --token-file FILE"
        )
    return token


def _start_anew_without(token: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """
    Become a process whose command line and environment do not hold the token; does not return.

    Any process of the same user can read both (in /proc on Linux, with ps elsewhere), and tests are such processes.
    """
    reads, writes = os.pipe()
    os.write(writes, token.encode("utf-8"))
    os.close(writes)
    os.set_inheritable(reads, True)
    words, skips = [], False
    for word in argv:
        if not skips and word not in ("--token", "--token-file") and not word.startswith(("--token=", "--token-file=")):
            words.append(word)
        skips = word in ("--token", "--token-file")
    clean = {name: value for name, value in environ.items() if name != "DT_WORKER_TOKEN"}
    command = [sys.executable, "-m", "dt_action", "worker", *words, "--token-fd", str(reads)]
    sys.stdout.flush()
    os.execve(sys.executable, command, clean)  # noqa: S606 - no shell is wanted


def _declared(words: Sequence[str]) -> tuple[Device, ...]:
    """`npu`, or `cuda[24GiB, sm90]>=4` for four that are alike. Raises ConfigurationError."""
    from dt_action.analysis.explicit import GrammarError, read_devices

    found: list[Device] = []
    for word in words:
        try:
            clauses, _ = read_devices(word)
        except GrammarError as error:
            raise ConfigurationError(f"--device {word}: {error}") from None
        for need in (clause.any_of[0] for clause in clauses):
            device = Device(kind=need.kind, name="declared", memory_bytes=need.memory_bytes, features=need.features)
            found += [device] * need.count
    return tuple(found)


def _show(capability: Capability, environ: Mapping[str, str]) -> int:
    from dt_action.model.json_codec import to_jsonable
    from dt_action.probes import evidence
    from dt_action.probes.system import System

    print(json.dumps(to_jsonable(capability), indent=2))
    for line in evidence(System(environ=environ)):
        print(f"# {line}")
    return 0

"""
Load on a coordinator: many simulated workers, a large run, over HTTP. Prints figures as JSON.

    python benchmarks/coordinator_load.py --workers 200 --cases 100000                  # as much as it takes
    python benchmarks/coordinator_load.py --workers 200 --cases 20000 --case-s 0.2      # 2,000 events a second

The coordinator is a process of its own, with its database on disk; workers are coroutines in this one, which speak
the wire's messages and "run" cases in no time, or in `--case-s` seconds. What is measured is the coordinator: events
taken in a second, the time from an idle slot's question to its batch, its processor time, and its memory. Without a
pace every slot always asks, so that the wait says how many are before it, and not how quick an answer is.

The workers run on the same machine, so their processor time is told, too, and for how long the coordinator was ready
to run while others had the processors (`coordinator_kept_waiting_s`): no answer is quick on a busy machine. A slot's
wait counts from its question to its batch; `rested` tells how many found nothing to do at first: these wait for other
slots, not for the coordinator. With `--spread 0` all cases take the same time, so that all workers that began together
ask together: the wait is then that of the middle of a queue as long as there are workers.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from coordinator_rig import Coordinator
from coordinator_sim import files_of, plan_of
from support.fake_slot import FakeSlot, suite_of

from dt_action.model.hardware import Capability
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import Finished, Want, message_to_jsonable, parse_command
from dt_action.remote import wire

CASES_PER_FILE = 50


@dataclass
class Answer:
    """A response."""

    status_code: int
    content: bytes

    def json(self) -> Any:
        """The value that its body holds."""
        return json.loads(self.content)


class Client:
    """HTTP with as little work as possible, on a connection of its own: the two cores are for the coordinator."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, message: Any, token: str, *, method: str = "POST") -> Answer:
        """One request, and its answer."""
        body = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token or 'none'}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answered.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        return Answer(int(answered[9:12]), await reader.readexactly(length))


class LoadWorker:
    """One simulated worker with one slot."""

    def __init__(self, port: int, number: int, files: dict[str, list[str]]) -> None:
        self._client, self._api, self._files = Client(port), wire.API, files
        self.case_s = self.spread = 0.0
        self.name = f"load-{number}"
        self.waits: list[float] = []
        self.events = self.requests = self.rested = 0
        self.is_enrolled = self.is_over = False
        self._held: dict[str, int] = {}

    async def run(self, token: str) -> None:
        """Enrol, and work until told that all is over."""
        asked = wire.Enrolment(name=self.name, boot=self.name, slots=1, capability=Capability(platform="linux"))
        enrolled = (await self._post("/workers", to_jsonable(asked), token)).json()
        self.is_enrolled = True
        while not self.is_over:
            poll = {"boot": self.name, "wait_s": 5.0, "holding": self._held}
            answer = await self._post("/leases", poll, enrolled["jwt"])
            if answer.status_code != 200:
                continue
            work = from_jsonable(wire.Work, answer.json(), source="work")
            for lease in work.leases:
                await self._work(lease, enrolled["jwt"])

    async def _work(self, lease: wire.Lease, jwt: str) -> None:
        suite = suite_of(self._files, duration_s=self.case_s or 0.05)
        slot, first, seen, idle_since = FakeSlot(suite, change=self._take_time), 1, 0, 0.0
        messages: list[dict[str, Any]] = []
        while True:
            fresh = slot.work(8 if self.case_s else 200)
            took_s = sum(message.duration_s for message in fresh if isinstance(message, Finished))
            await asyncio.sleep(took_s if self.case_s else 0)
            messages += map(message_to_jsonable, fresh)
            if messages:
                if fresh and isinstance(fresh[-1], Want):
                    idle_since = time.perf_counter()
                told = {"first": first, "messages": messages, "seen": seen}
                answer = await self._post(f"/leases/{lease.id}/events", told, lease.token)
                if answer.status_code != 200:
                    return
                taken = answer.json()
                done = taken["heard"] + 1 - first
                self.events += done
                first, messages = first + done, messages[done:]
                commands = taken.get("commands", ())
            else:
                poll = {"boot": self.name, "wait_s": 5.0, "holding": {lease.id: seen}}
                answer = (await self._post("/leases", poll, jwt)).json()
                if lease.id in answer.get("revoked", ()) or self.is_over:
                    return
                commands = answer.get("commands", {}).get(lease.id, ())
            for numbered in commands:
                if numbered["number"] > seen:
                    seen = numbered["number"]
                    slot.inbox.append(parse_command(numbered["command"]))
                    self.rested += numbered["command"]["op"] == "rest"
                    if numbered["command"]["op"] in ("run", "go") and idle_since:
                        self.waits.append(time.perf_counter() - idle_since)
                        idle_since = 0.0
            if slot.is_over and not messages:
                return

    def _take_time(self, finished: Finished) -> Finished:
        """Cases of a paced load take about as long as was asked for."""
        if not self.case_s:
            return finished
        return replace(finished, duration_s=self.case_s * random.uniform(1 - self.spread, 1 + self.spread))

    async def _post(self, path: str, message: dict[str, Any], token: str) -> Any:
        self.requests += 1
        return await self._client.post(self._api + path, message, token)


async def load(coordinator: Coordinator, workers: int, cases: int, case_s: float, spread: float) -> dict[str, Any]:
    """One run of so many cases on so many workers; the figures."""
    files = files_of(max(1, cases // CASES_PER_FILE), CASES_PER_FILE)
    key, token = coordinator.key(), coordinator.token("--pool")
    client = Client(coordinator.port)
    bundle = str(time.time()).encode()
    digest = hashlib.sha256(bundle).hexdigest()
    await client.post(f"{wire.API}/blobs/{digest}", bundle, key, method="PUT")
    made = [LoadWorker(coordinator.port, number, files) for number in range(workers)]
    for worker in made:
        worker.case_s, worker.spread = case_s, spread
    tasks = [asyncio.create_task(worker.run(token)) for worker in made]
    while not all(worker.is_enrolled for worker in made):
        await asyncio.sleep(0.1)
    plan = plan_of(files, case_s=case_s or 0.05)
    submission = wire.Submission(nonce=digest[:32], bundle=digest, plan=plan, start=PytestStart())
    started, cpu, own_cpu = time.perf_counter(), _cpu_s(coordinator), time.process_time()
    kept_waiting = _kept_waiting_s(coordinator)
    run = (await client.post(f"{wire.API}/runs", to_jsonable(submission), key)).json()["run"]
    while True:
        state = (await client.post(f"{wire.API}/runs/{run}", b"", key, method="GET")).json()
        if state["status"] != "running":
            break
        await asyncio.sleep(0.25)
    took_s = time.perf_counter() - started
    cpu, own_cpu = _cpu_s(coordinator) - cpu, time.process_time() - own_cpu
    kept_waiting = _kept_waiting_s(coordinator) - kept_waiting
    for worker in made:
        worker.is_over = True
    await asyncio.wait(tasks, timeout=15)
    for task in tasks:
        task.cancel()
    waits = sorted(wait for worker in made for wait in worker.waits)
    events = sum(worker.events for worker in made)
    return {
        "workers": workers,
        "cases": cases,
        "case_s": case_s,
        "spread": spread,
        "totals": state["totals"],
        "took_s": round(took_s, 2),
        "events": events,
        "events_per_s": round(events / took_s),
        "requests_per_s": round(sum(worker.requests for worker in made) / took_s),
        "idle_to_batch_p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "idle_to_batch_p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "asked": len(waits),
        "rested": sum(worker.rested for worker in made),
        "coordinator_cpu_us_per_case": round(cpu / cases * 1e6),
        "coordinator_cpu_us_per_event": round(cpu / events * 1e6),
        "coordinator_cores": round(cpu / took_s, 2),
        "coordinator_kept_waiting_s": round(kept_waiting, 1),
        "workers_cores": round(own_cpu / took_s, 2),
        "load_average": round(os.getloadavg()[0], 1),
        "coordinator_peak_mb": round(_peak_mb(coordinator)),
    }


def _cpu_s(coordinator: Coordinator) -> float:
    assert coordinator.process is not None
    fields = Path(f"/proc/{coordinator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _kept_waiting_s(coordinator: Coordinator) -> float:
    """For how long its threads were ready to run, and others had the processors (Linux's schedstat)."""
    assert coordinator.process is not None
    threads = Path(f"/proc/{coordinator.process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[1]) for thread in threads) / 1e9


def _peak_mb(coordinator: Coordinator) -> float:
    assert coordinator.process is not None
    for line in Path(f"/proc/{coordinator.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Run each size on a coordinator of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--cases", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--case-s", type=float, default=0.0, help="seconds that a case takes on average")
    parser.add_argument("--spread", type=float, default=0.5, help="how far off from that one may be, 0.5 is by half")
    given = parser.parse_args()
    for cases in given.cases:
        with tempfile.TemporaryDirectory() as directory:
            coordinator = Coordinator(Path(directory) / "data").start()
            try:
                print(
                    json.dumps(asyncio.run(load(coordinator, given.workers, cases, given.case_s, given.spread))),
                    flush=True,
                )
            except (AssertionError, subprocess.SubprocessError):
                print(coordinator.log()[-3000:], file=sys.stderr)
                raise
            finally:
                coordinator.stop()


if __name__ == "__main__":
    main()

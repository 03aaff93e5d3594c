"""
Load on a coordinator: many simulated workers, a large run, over HTTP. Prints figures as JSON.

    python benchmarks/coordinator_load.py --workers 200 --cases 100000

The coordinator is a process of its own, with its database on disk; workers are coroutines in this one, which speak
the wire's messages and "run" cases in no time. So what is measured is the coordinator: events taken in a second, the
time from an idle slot's question to its batch, and the memory of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from coordinator_rig import Coordinator
from coordinator_sim import SimSlot, files_of, plan_of

from dt_action import wire
from dt_action.formats.model_json import from_jsonable, to_jsonable
from dt_action.model.hardware import Capability

CASES_PER_FILE = 50


class LoadWorker:
    """One simulated worker with one slot."""

    def __init__(self, client: Any, api: str, number: int, files: dict[str, list[str]], waits: list[float]) -> None:
        self._client, self._api, self._files, self._waits = client, api, files, waits
        self.name = f"load-{number}"
        self.events = 0
        self.is_over = False
        self._held: dict[str, int] = {}

    async def run(self, token: str) -> None:
        """Enrol, and work until told that all is over."""
        asked = wire.Enrolment(
            token=token, name=self.name, boot=self.name, slots=1, capability=Capability(platform="linux")
        )
        enrolled = (await self._post("/workers", asked, "")).json()
        while not self.is_over:
            poll = wire.Poll(boot=self.name, wait_s=5.0, holding=self._held)
            answer = await self._post("/leases", poll, enrolled["jwt"])
            if answer.status_code != 200:
                continue
            work = from_jsonable(wire.Work, answer.json(), source="work")
            for lease in work.leases:
                await self._work(lease, enrolled["jwt"])

    async def _work(self, lease: wire.Lease, jwt: str) -> None:
        slot, first, seen, idle_since = SimSlot(self._files, duration_s=0.05), 1, 0, 0.0
        messages: list[dict[str, Any]] = []
        while True:
            messages += slot.work(200)
            if messages:
                if messages[-1]["e"] == "want":
                    idle_since = time.perf_counter()
                told = wire.Told(first=first, messages=tuple(messages), seen=seen)
                answer = await self._post(f"/leases/{lease.id}/events", told, lease.token)
                if answer.status_code != 200:
                    return
                taken = answer.json()
                done = taken["heard"] + 1 - first
                self.events += done
                first, messages = first + done, messages[done:]
                commands = taken.get("commands", ())
            else:
                poll = wire.Poll(boot=self.name, wait_s=5.0, holding={lease.id: seen})
                answer = (await self._post("/leases", poll, jwt)).json()
                if lease.id in answer.get("revoked", ()) or self.is_over:
                    return
                commands = answer.get("commands", {}).get(lease.id, ())
            for numbered in commands:
                if numbered["number"] > seen:
                    seen = numbered["number"]
                    slot.command(numbered["command"])
                    if numbered["command"]["op"] in ("run", "go") and idle_since:
                        self._waits.append(time.perf_counter() - idle_since)
                        idle_since = 0.0
            if slot.is_stopped and not messages:
                messages = slot.work()
                told = wire.Told(first=first, messages=tuple(messages), seen=seen)
                await self._post(f"/leases/{lease.id}/events", told, lease.token)
                return

    async def _post(self, path: str, message: Any, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        body = json.dumps(to_jsonable(message), separators=(",", ":"))
        return await self._client.post(self._api + path, content=body, headers=headers)


async def load(coordinator: Coordinator, workers: int, cases: int) -> dict[str, Any]:
    """One run of so many cases on so many workers; the figures."""
    files = files_of(max(1, cases // CASES_PER_FILE), CASES_PER_FILE)
    api, key, token = coordinator.url + wire.API, coordinator.key(), coordinator.token("--pool")
    waits: list[float] = []
    limits = httpx.Limits(max_connections=workers + 10, max_keepalive_connections=workers + 10)
    async with httpx.AsyncClient(timeout=60.0, limits=limits) as client:
        bundle = str(time.time()).encode()
        digest = hashlib.sha256(bundle).hexdigest()
        authorized = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        (await client.put(f"{api}/blobs/{digest}", content=bundle, headers=authorized)).raise_for_status()
        made = [LoadWorker(client, api, number, files, waits) for number in range(workers)]
        tasks = [asyncio.create_task(worker.run(token)) for worker in made]
        await asyncio.sleep(1.0 + workers / 100)
        submission = wire.Submission(nonce=digest[:32], bundle=digest, plan=plan_of(files, case_s=0.05))
        started, cpu = time.perf_counter(), _cpu_s(coordinator)
        body = json.dumps(to_jsonable(submission))
        answer = await client.post(f"{api}/runs", content=body, headers=authorized)
        run = answer.raise_for_status().json()["run"]
        while (state := (await client.get(f"{api}/runs/{run}", headers=authorized)).json())["status"] == "running":
            await asyncio.sleep(0.25)
        took_s = time.perf_counter() - started
        for worker in made:
            worker.is_over = True
        await asyncio.wait(tasks, timeout=15)
        for task in tasks:
            task.cancel()
    waits.sort()
    events = sum(worker.events for worker in made)
    return {
        "workers": workers,
        "cases": cases,
        "totals": state["totals"],
        "took_s": round(took_s, 2),
        "events": events,
        "events_per_s": round(events / took_s),
        "idle_to_batch_p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "idle_to_batch_p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "coordinator_cpu_us_per_case": round((_cpu_s(coordinator) - cpu) / cases * 1e6),
        "coordinator_peak_mb": round(_peak_mb(coordinator)),
    }


def _cpu_s(coordinator: Coordinator) -> float:
    assert coordinator.process is not None
    fields = Path(f"/proc/{coordinator.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


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
    given = parser.parse_args()
    for cases in given.cases:
        with tempfile.TemporaryDirectory() as directory:
            coordinator = Coordinator(Path(directory) / "data").start()
            try:
                print(json.dumps(asyncio.run(load(coordinator, given.workers, cases))), flush=True)
            except (AssertionError, subprocess.SubprocessError):
                print(coordinator.log()[-3000:], file=sys.stderr)
                raise
            finally:
                coordinator.stop()


if __name__ == "__main__":
    main()

"""
100,000 results to every document: seconds, bytes and the peak of memory. The bar: 5 s and 400 MB on 2 cores.

    python benchmarks/reports_scale.py [--tests 100000] [--failing 0.02] [--keep DIR]
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from pathlib import Path

from dt_action.model.build import Build
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.hardware import NOTHING, Capability, Clause, Device, DeviceNeed, Requirement
from dt_action.model.report import Document
from dt_action.model.run import Run, WorkerInfo
from dt_action.reports import reporting
from dt_action.reports.renderers.console import Console

CUDA = Requirement(all_of=(Clause(any_of=(DeviceNeed(kind="cuda"),)),))
TYPES = ("integration", "fault", "monitoring", "stress")
TRACE = "\n".join(
    [
        "\x1b[37m@pytest\x1b[39;49;00m.mark.parametrize(\x1b[33m'currency'\x1b[39;49;00m, CURRENCIES)",
        "    \x1b[94mdef\x1b[39;49;00m \x1b[92mtest_total\x1b[39;49;00m(currency):",
        "        cart = Cart(currency)",
        "        \x1b[94mfor\x1b[39;49;00m price \x1b[95min\x1b[39;49;00m PRICES:",
        "            cart.add(price)",
        ">       \x1b[94massert\x1b[39;49;00m cart.total() == \x1b[94m4\x1b[39;49;00m",
        "\x1b[1m\x1b[31mE       AssertionError: assert 3 == 4\x1b[0m",
        "\x1b[1m\x1b[31mE        +  where 3 = total([1, 2])\x1b[0m",
        "",
        "\x1b[1m\x1b[31mtests/shop/test_cart.py\x1b[0m:31: AssertionError",
    ]
)


def large_run(count: int, failing: float) -> Run:
    """A run of `count` tests in files of 80 on four slots, of which a share fails, is skipped or flaky."""
    chance = random.Random(7)
    workers = tuple(
        WorkerInfo(name=name, slots=2, capability=Capability(devices=devices), environment="linux, Python 3.13.0")
        for name, devices in (("gpu-box", (Device(kind="cuda", name="H100"),)), ("lab-mac", ()))
    )
    clock = {f"{worker.name}-{slot}": 1_700_000_000.0 for worker in workers for slot in (1, 2)}
    results = []
    for number in range(count):
        slot = min(clock, key=lambda name: clock[name])
        attempts = _attempts(chance, failing, slot, clock[slot])
        clock[slot] += sum(attempt.duration_s for attempt in attempts) + 0.001
        file = f"tests/{TYPES[number // 25_000 % 4]}/package_{number // 800 % 30}/test_module_{number // 80}.py"
        case = TestCase(
            id=f"{file}::TestFeature{number // 20 % 4}::test_behaviour_{number % 20}[case-{number % 7}-{number}]",
            file=file,
            line=10 + number % 80 * 9,
            test_type=TYPES[number // 25_000 % 4],
            requirement=CUDA if number % 10 == 0 else NOTHING,
        )
        results.append(TestResult(case=case, attempts=attempts))
    return Run(
        id="scale",
        build=Build(repository="org/project", branch="main", commit="0123456789abcdef0123", url="https://ci.example/1"),
        results=tuple(results),
        workers=workers,
        started_at=1_700_000_000.0,
        makespan_s=max(clock.values()) - 1_700_000_000.0,
        command="dt run --fleet coordinator",
    )


def _attempts(chance: random.Random, failing: float, slot: str, at: float) -> tuple[Attempt, ...]:
    luck = chance.random()
    outcome = "failed" if luck < failing else "skipped" if luck < failing + 0.03 else "passed"
    message = {"failed": "AssertionError: assert 3 == 4", "skipped": "needs a network"}
    last = Attempt(
        outcome=outcome,  # type: ignore[arg-type]
        duration_s=round(chance.lognormvariate(-4.5, 1.6), 6),
        worker=slot.rpartition("-")[0],
        slot=slot,
        started_at=at,
        message=message.get(outcome, ""),
        detail=TRACE if outcome == "failed" else "",
        stdout="line of a log\n" * 20 if outcome == "failed" else "",
    )
    if outcome == "passed" and chance.random() < 0.002:
        first = Attempt(
            outcome="failed", duration_s=0.1, worker=last.worker, slot=slot, started_at=at, message="flaked"
        )
        return (first, last)
    return (last,)


def main() -> None:
    """Print a line for each document and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--failing", type=float, default=0.002)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    run = large_run(arguments.tests, arguments.failing)
    before = _peak_mb()
    documents: list[Document] = []
    for word in ("json", "md", "html", "ctrf", "codequality"):
        began = time.perf_counter()
        made = reporting.publication(run, formats=[word], timestamp="scale").documents
        print(
            f"{word + ' + xml':20} {time.perf_counter() - began:6.2f} s  {sum(len(d.content) for d in made):12,} bytes"
        )
    began, began_cpu = time.perf_counter(), time.process_time()
    documents = list(reporting.publication(run, formats=reporting.FORMATS, timestamp="scale").documents)
    Console().text(run)
    if arguments.keep:
        reporting.write(documents, arguments.keep)
    took, took_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    size = sum(len(document.content) for document in documents)
    print(f"{'all, with console':20} {took:6.2f} s  {size:12,} bytes, {took_cpu:.2f} s of CPU")
    print(f"html {next(len(d.content) for d in documents if d.format == 'html'):,} bytes")
    print(f"peak of memory {_peak_mb():.0f} MB, of which the run itself {before:.0f} MB")


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()

"""
What it costs to fork slots from one process, and to start each by itself: wall and processor time, and memory.

    python benchmarks/start_methods.py --python PYTHON [--imports numpy,pandas] [--slots 2,8] [--files 24] [--rounds 3]

PYTHON has pytest and the libraries. The suite has a few quick tests in each file, and every file imports them all.
Then one test ends its process, and the time until the next test begins in another one is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

METHODS = ("spawn", "fork")
SAMPLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run: seconds on the clock and of the processor, and the most memory that its processes had in bytes."""

    wall_s: float
    processor_s: float
    memory: int


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--imports", default="numpy,pandas")
    parser.add_argument("--slots", default="2,8")
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _suite(root, options.imports.split(","), options.files)
        for slots in map(int, options.slots.split(",")):
            runs: dict[str, list[Figures]] = {method: [] for method in METHODS}
            for _ in range(options.rounds):
                for method in METHODS:
                    runs[method].append(_run(root, options.python, slots, method))
            for method in METHODS:
                print(f"{slots} slots, {method}: {_told(runs[method])}")
        for method in METHODS:
            print(
                f"after a crash, {method}: {_crash(root, options.python, method):.2f} s until the next test of 2 slots"
            )
    return 0


def _suite(root: Path, libraries: list[str], files: int) -> None:
    (root / "tests").mkdir()
    imports = "".join(f"import {library}\n" for library in libraries)
    for number in range(files):
        content = f"{imports}\n\ndef test_a():\n    pass\n\n\ndef test_b():\n    assert {libraries[0]}.__name__\n"
        (root / "tests" / f"test_{number:03}.py").write_text(content)


def _dt(root: Path, python: str, slots: int, method: str, *more: str) -> list[str]:
    shutil.rmtree(root / ".dt_cache", ignore_errors=True)
    return [
        *(
            sys.executable,
            "-m",
            "dt_action",
            "run",
            *more,
            "--python",
            python,
            "--workers",
            str(slots),
            "--start",
            method,
        ),
        *("--history", "none", "--output-dir", str(root / "out"), "--report-formats", "json"),
    ]


def _run(root: Path, python: str, slots: int, method: str) -> Figures:
    before = os.times()
    started = time.monotonic()
    process = subprocess.Popen(_dt(root, python, slots, method), cwd=root, stdout=subprocess.DEVNULL)
    peak = [0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_S):
            peak[0] = max(peak[0], sum(map(_proportional, _slots_of(process.pid))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    if process.wait() != 0:
        raise SystemExit(f"the run with {method} failed")
    wall_s = time.monotonic() - started
    is_over.set()
    watcher.join()
    after = os.times()
    used_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Figures(wall_s, used_s, peak[0])


def _crash(root: Path, python: str, method: str) -> float:
    """The seconds from the end of a process to the next test in the one that takes its place."""
    imports = "import os\nimport time\n" + (root / "tests" / "test_000.py").read_text().partition("def")[0]
    sleeps = "".join(f"def test_{number}():\n    time.sleep(0.2)\n\n\n" for number in range(80))
    crash = "def test_before():\n    time.sleep(3)\n\n\ndef test_crash():\n    os._exit(1)\n"
    for name, content in (("test_crash.py", crash), ("test_sleeps.py", sleeps)):
        (root / "tests" / name).write_text(imports + content)
    shutil.rmtree(root / "out", ignore_errors=True)
    files = ("tests/test_crash.py", "tests/test_sleeps.py")
    subprocess.run(_dt(root, python, 2, method, *files), cwd=root, stdout=subprocess.DEVNULL, check=False)
    found = json.loads(next((root / "out").glob("*.json")).read_text())
    attempts = [(test["id"], attempt) for test in found["tests"] for attempt in test["attempts"]]
    before = next(attempt for name, attempt in attempts if name.endswith("test_before"))
    later = [attempt["started_at"] for _, attempt in attempts if attempt["slot"] not in ("gw0", "gw1")]
    return float(min(later) - before["started_at"] - before["duration_s"])


def _slots_of(pid: int) -> list[int]:
    """The processes below `pid`."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_slots_of(child)]
    except OSError:
        pass
    return found


def _proportional(pid: int) -> int:
    """The memory of a process in bytes; of what it shares with others, its share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _told(runs: list[Figures]) -> str:
    wall_s = statistics.median(run.wall_s for run in runs)
    processor_s = statistics.median(run.processor_s for run in runs)
    memory = statistics.median(run.memory for run in runs)
    return f"{wall_s:.2f} s, {processor_s:.2f} s of processor time, {memory / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main())

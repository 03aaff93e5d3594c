"""How long `dt` takes to say anything, and to run one trivial test, beside plain pytest. Medians of `--rounds`."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

COMMANDS = {
    "dt --help": ["-m", "dt_action", "--help"],
    "dt config": ["-m", "dt_action", "config"],
    "dt plan": ["-m", "dt_action", "plan"],
    "pytest, one test": ["-m", "pytest", "-q"],
    "dt run, one test": ["-m", "dt_action", "run", "--workers", "1"],
}


def seconds(words: Sequence[str], directory: Path) -> float:
    """The wall time of one command."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=directory, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main() -> None:
    """Take the commands in turns, so that a busy moment of the machine hits all alike."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "test_one.py").write_text("def test_one():\n    pass\n", encoding="utf-8")
        for _ in range(rounds):
            for name, words in COMMANDS.items():
                taken[name].append(seconds(words, Path(scratch)))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{median:7.3f} s  {name}")
    print(f"dt run / pytest: {medians['dt run, one test'] / medians['pytest, one test']:.2f}")


if __name__ == "__main__":
    main()

"""
Shares that are known beforehand against `--join`, where one of the jobs starts late: when does the last one end?

    python benchmarks/joining.py [--late 30] [--jobs 3] [--latency 1.0]

Tests sleep, so that the machine's load hardly matters. `--latency` is added to each push, as a service that is far away
does. The jobs are clones of one bare repository, each with one worker process.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

FILES, TESTS, SECONDS = 48, 5, 0.5


def git(folder: Path, *words: str) -> str:
    """What a command of git prints."""
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def make_remote(folder: Path, latency_s: float) -> Path:
    """A bare repository of the project, to which a push takes so much longer."""
    source, bare = folder / "source", folder / "remote.git"
    (source / "tests").mkdir(parents=True)
    for number in range(FILES):
        tests = "".join(f"\n\ndef test_{n}():\n    time.sleep({SECONDS})\n" for n in range(TESTS))
        (source / "tests" / f"test_{number}.py").write_text(f"import time\n{tests}")
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "first")
    git(folder, "clone", "-q", "--bare", str(source), str(bare))
    hook = bare / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nsleep {latency_s}\n")
    hook.chmod(0o755)
    return bare


def job(folder: Path, number: int, wait_s: float, words: Sequence[str], told: list[str]) -> None:
    """One job, which starts after `wait_s`."""
    time.sleep(wait_s)
    environ = {**os.environ, "GITLAB_CI": "true", "CI_JOB_NAME": f"job {number}"}
    command = [sys.executable, "-m", "dt_action", "run", "--workers", "1", *words]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    told.append(f"{done.stdout}{done.stderr}")


def took_s(
    folder: Path, remote: Path, options: argparse.Namespace, words: Sequence[Sequence[str]]
) -> tuple[float, str]:
    """The seconds until the last job has ended, and what all of them said."""
    told: list[str] = []
    threads = []
    for number, own in enumerate(words):
        clone = folder / f"{own[0].strip('-')}-{number}"
        git(folder, "clone", "-q", str(remote), str(clone))
        wait_s = options.late if number == len(words) - 1 else 0.0
        threads.append(threading.Thread(target=job, args=(clone, number, wait_s, own, told)))
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - started, "\n".join(told)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--late", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--latency", type=float, default=1.0)
    options = parser.parse_args()
    whole_s = FILES * TESTS * SECONDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        remote = make_remote(folder, options.latency)
        fixed = [["--shard", f"{number + 1}/{options.jobs}"] for number in range(options.jobs)]
        joined = [["--join", "bench", "--join-jobs", str(options.jobs)] for _ in range(options.jobs)]
        print(f"{whole_s:.0f} s of tests on {options.jobs} jobs, the last of which starts {options.late:.0f} s late")
        print(f"best possible: {(whole_s + options.late) / options.jobs:.1f} s, without the start of anything")
        seconds, _ = took_s(folder, remote, options, fixed)
        print(f"--shard: {seconds:.1f} s")
        seconds, told = took_s(folder, remote, options, joined)
        print(f"--join:  {seconds:.1f} s; {', '.join(re.findall('claimed .*', told))}")


if __name__ == "__main__":
    main()

"""`--join`: jobs without a server between them work off one plan, over a git remote that all of them may push to."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_shards import dt, write

from dt_action.workspace.shared_ref import PREFIX, SharedRef


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository with a project of two files: a job needs few processes for it."""
    return repository(tmp_path, {f"tests/test_{n}.py": "def test_a(): ...\n" for n in range(2)})


def repository(tmp_path: Path, files: dict[str, str]) -> Path:
    """A bare repository with these files."""
    source, bare = tmp_path / "source", tmp_path / "remote.git"
    write(source, files)
    (source / ".gitignore").write_text(".dt_cache/\n__pycache__/\nparts/\n.pytest_cache/\n")
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "first")
    git(tmp_path, "clone", "-q", "--bare", str(source), str(bare))
    return bare


def git(folder: Path, *words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


class Job:
    """A clone on a machine of its own, which runs dt as a CI job of a name would."""

    def __init__(self, folder: Path, remote: Path, name: str) -> None:
        self.root, self.name = folder / name, name
        git(folder, "clone", "-q", str(remote), str(self.root))

    def run(self, *words: str, join: str = "7", **variables: str) -> subprocess.CompletedProcess[str]:
        words = ("run", "--join", join, "--join-jobs", "2", "--workers", "1", "--output-dir", "parts", *words)
        return dt(self.root, *words, GITLAB_CI="true", CI_JOB_NAME=self.name, CI_COMMIT_SHA=self.commit, **variables)

    @property
    def commit(self) -> str:
        return git(self.root, "rev-parse", "HEAD").strip()

    def reports(self) -> Iterator[dict[str, Any]]:
        for path in (self.root / "parts").glob("test_report_*.json"):
            yield json.loads(path.read_bytes())


def merged(folder: Path, jobs: list[Job]) -> subprocess.CompletedProcess[str]:
    return dt(folder, "report", *(str(job.root / "parts") for job in jobs), "--output-dir", str(folder / "merged"))


def test_jobs_that_join_run_each_test_once_whoever_comes_when(tmp_path: Path) -> None:
    large = "import pytest\n\n@pytest.mark.parametrize('n', range(60))\ndef test_n(n): ...\n"
    small = "import time\n\ndef test_a(): time.sleep(0.02)\n\ndef test_b(): ...\n"
    files = {f"tests/test_{n}.py": small for n in range(3)}
    remote = repository(tmp_path, {**files, "tests/test_large.py": large, "docs/test_usage.txt": ">>> 1 + 1\n2\n"})
    jobs = [Job(tmp_path, remote, name) for name in ("one", "two", "late")]
    threads = [threading.Thread(target=job.run) for job in jobs[:2]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    late = jobs[2].run()
    assert late.returncode == 0, late.stdout + late.stderr
    ran = Counter(test["id"] for job in jobs for report in job.reports() for test in report["tests"])
    assert len(ran) == 3 * 2 + 60 + 1
    assert set(ran.values()) == {1}
    whole = merged(jobs[0].root, jobs)
    assert whole.stdout.splitlines()[-1] == "67 passed, 0 failed, 0 skipped", whole.stdout
    assert whole.returncode == 0


def test_what_a_job_took_that_left_no_report_is_missed_and_is_its_own_again(tmp_path: Path, remote: Path) -> None:
    jobs = [Job(tmp_path, remote, name) for name in ("died", "other")]
    assert jobs[0].run().returncode == 0
    for path in (jobs[0].root / "parts").iterdir():
        path.unlink()
    assert jobs[1].run().returncode == 0
    incomplete = merged(jobs[1].root, [jobs[1]])
    assert incomplete.returncode == 6
    again = jobs[0].run()
    assert again.returncode == 0, again.stdout + again.stderr
    whole = merged(jobs[1].root, jobs)
    assert whole.stdout.splitlines()[-1] == "2 passed, 0 failed, 0 skipped", whole.stdout


def test_a_job_that_is_run_again_runs_what_failed_of_what_it_had_taken(tmp_path: Path, remote: Path) -> None:
    job = Job(tmp_path, remote, "one")
    bad = "import os\n\ndef test_flaky(): assert os.environ.get('FIXED')\n\ndef test_fine(): ...\n"
    write(job.root, {"tests/test_flaky.py": bad})
    assert job.run("--rerun-failed", "parts").returncode == 1
    again = job.run("--rerun-failed", "parts", FIXED="1")
    assert again.returncode == 0, again.stdout + again.stderr
    last = max(job.reports(), key=lambda report: report["run"]["started_at"])
    assert last["totals"]["flaky"] == 1
    assert last["summary"] == "4 passed, 0 failed, 0 skipped"
    assert sum(len(test["attempts"]) for test in last["tests"]) <= 4 + 2


def test_a_job_with_another_plan_is_told_so(tmp_path: Path, remote: Path) -> None:
    jobs = [Job(tmp_path, remote, name) for name in ("one", "two")]
    assert jobs[0].run().returncode == 0
    write(jobs[1].root, {"tests/test_new.py": "def test_new(): ...\n"})
    other = jobs[1].run()
    assert other.returncode == 4
    assert "the queue 7 is of plan" in other.stderr


def test_a_remote_that_cannot_be_reached_or_a_name_that_is_none_is_told(tmp_path: Path, remote: Path) -> None:
    job = Job(tmp_path, remote, "one")
    named = job.run(join="../heads/main")
    assert (named.returncode, "expected a name of letters" in named.stderr) == (4, True)
    remote.rename(tmp_path / "gone")
    gone = job.run()
    assert gone.returncode == 7
    assert "the queue refs/dt/queue/7 cannot be read" in gone.stderr


def test_many_writers_at_once_lose_nothing(tmp_path: Path, remote: Path) -> None:
    jobs = [Job(tmp_path, remote, f"job{n}") for n in range(6)]

    def add(job: Job) -> None:
        for number in range(4):
            SharedRef(root=job.root, name="x").update(lambda text, n=number: text + f"{job.name}-{n} ".encode())

    threads = [threading.Thread(target=add, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    words = SharedRef(root=jobs[0].root, name="x").update(lambda text: None).decode().split()
    assert sorted(words) == sorted(f"job{n}-{k}" for n in range(6) for k in range(4))


def test_queues_of_long_ago_are_taken_away(tmp_path: Path, remote: Path) -> None:
    job = Job(tmp_path, remote, "one")
    old = {"GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z"}
    tree = git(remote, "rev-parse", "HEAD^{tree}").strip()
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit-tree", tree, "-m", "old"]
    commit = subprocess.run(command, cwd=remote, env=old, capture_output=True, text=True, check=True).stdout.strip()
    git(remote, "update-ref", f"{PREFIX}old", commit)
    SharedRef(root=job.root, name="new").update(lambda text: b"x")
    assert git(remote, "for-each-ref", "--format=%(refname)", "refs/dt").split() == [f"{PREFIX}new"]

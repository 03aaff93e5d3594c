"""`--rerun-failed` on a real project: what failed runs again, what passed does not, and both are one report."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_shards import dt as run_dt
from test_shards import write

LOG = "with open(os.path.dirname(__file__) + '/../ran.log', 'a') as log: log.write(request.node.nodeid + '\\n')"

LEFT_BY_RUNS = ("one", "two", "parts", "test_reports", "ran.log", "fixed", ".dt_cache", "__pycache__", "pytest.ini")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Three files that note what ran; one test fails until a file is there, one always, one kills its process once."""
    conftest = f"import os, pytest\n\n@pytest.fixture(autouse=True)\ndef note(request):\n    {LOG}\n"
    write(
        tmp_path,
        {
            ".gitignore": "\n".join((*LEFT_BY_RUNS, "")),
            "tests/conftest.py": conftest,
            "tests/test_a.py": "def test_ok(): ...\ndef test_bad():\n    assert 1 == 2\n",
            "tests/test_b.py": "import os\n\ndef test_flaky():\n    assert os.path.exists('fixed')\n"
            "def test_fine(): ...\n",
            "tests/test_c.py": "import os\nif not os.path.exists('fixed'): raise OSError('no network')\n\n"
            "def test_c(): ...\n",
        },
    )
    for command in ("init -q -b main", "add -A", "commit -q -m first"):
        words = ["-c", "user.name=a", "-c", "user.email=a@example.org", *command.split()]
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def dt(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Without the second execution by which a failure is confirmed: what ran is counted here."""
    return run_dt(project, *words, DT_CONFIRM_BUDGET="0")


def ran(project: Path) -> Counter[str]:
    """What ran since this was asked last."""
    log = project / "ran.log"
    ids = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return Counter(ids)


def report(project: Path, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(max((project / folder).glob("test_report_*.json")).read_bytes())
    return found


def test_the_second_attempt_runs_only_what_failed_and_both_are_one_report(project: Path) -> None:
    first = dt(project, "run", "--output-dir", "one", "--rerun-failed", "one")
    assert first.returncode == 1
    assert sum(ran(project).values()) == 4
    (project / "fixed").touch()
    second = dt(project, "run", "--output-dir", "two", "--rerun-failed", "one")
    assert second.returncode == 1, second.stdout
    assert ran(project) == Counter(
        ["tests/test_a.py::test_bad", "tests/test_b.py::test_flaky", "tests/test_c.py::test_c"]
    )
    told = report(project, "two")
    assert told["summary"] == "4 passed, 1 failed, 0 skipped"
    assert [test["id"] for test in told["tests"] if test["flaky"]] == ["tests/test_b.py::test_flaky"]
    merged = dt(project, "report", "one", "two")
    assert merged.stdout.splitlines()[-1] == "4 passed, 1 failed, 0 skipped"


@pytest.mark.long
def test_a_third_attempt_knows_both_before_it(project: Path) -> None:
    for _ in range(2):
        dt(project, "run", "--rerun-failed", "test_reports", "--output-dir", "test_reports")
    ran(project)
    (project / "fixed").touch()
    source = project / "tests/test_a.py"
    third = dt(project, "run", "--rerun-failed", "test_reports", "--test-files", str(source), "tests/test_b.py")
    assert "everything runs: the earlier attempt had another plan" in third.stdout
    ran(project)
    dt(project, "run", "--rerun-failed", "test_reports")
    assert "tests/test_a.py::test_ok" not in ran(project)


def test_edits_since_the_earlier_attempt_make_everything_run(project: Path) -> None:
    dt(project, "run", "--output-dir", "one")
    (project / "tests/test_a.py").write_text("def test_ok(): ...\ndef test_bad(): ...\n")
    done = dt(project, "run", "--rerun-failed", "one")
    assert "and this is code that no commit holds" in done.stdout
    assert ran(project)["tests/test_a.py::test_ok"] == 2


def test_shards_can_be_attempted_again_and_merged(project: Path) -> None:
    for index in (1, 2):
        dt(project, "run", "--shard", f"{index}/2", "--output-dir", f"parts/{index}")
    ran(project)
    (project / "fixed").touch()
    for index in (1, 2):
        dt(
            project,
            "run",
            "--shard",
            f"{index}/2",
            "--output-dir",
            f"parts/{index}",
            "--rerun-failed",
            f"parts/{index}",
        )
    assert ran(project) == Counter(
        ["tests/test_a.py::test_bad", "tests/test_b.py::test_flaky", "tests/test_c.py::test_c"]
    )
    merged = dt(project, "report", "parts")
    assert merged.stdout.splitlines()[-1] == "4 passed, 1 failed, 0 skipped"
    assert merged.returncode == 1


def test_pytests_names_are_understood_where_its_root_lies_above(project: Path) -> None:
    (project / "pytest.ini").write_text("[pytest]\n")
    first = dt(project / "tests", "run", "--output-dir", "../one")
    assert first.returncode == 1
    ran(project)
    dt(project / "tests", "run", "--output-dir", "../two", "--rerun-failed", "../one")
    assert "tests/test_a.py::test_ok" not in ran(project)

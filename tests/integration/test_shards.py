"""Shards of real projects, one after the other in one directory: what earlier runs left there changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest
from test_cli_commands import environment


def dt(root: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dt_action", *words]
    return subprocess.run(
        command,
        cwd=root,
        env=environment(**{"DT_WORKERS": "1", **variables}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(dedent(text))


def ran(root: Path, folder: str) -> Counter[str]:
    """How often each test stands in the JSON reports under a folder."""
    reports = [json.loads(path.read_bytes()) for path in (root / folder).rglob("test_report_*.json")]
    return Counter(test["id"] for report in reports for test in report["tests"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Six files, 31 tests, of which some take longer than their files look, and one has a document of doctests."""
    sleeps = {"a": 0.2, "b": 0.0, "c": 0.1, "d": 0.0, "e": 0.0, "f": 0.3}
    for number, (name, seconds) in enumerate(sleeps.items()):
        tests = "".join(f"def test_{n}():\n    time.sleep({seconds / 4})\n\n" for n in range(3 + number % 5))
        write(tmp_path, {f"tests/test_{name}.py": "import time\n\n" + tests})
    return tmp_path


@pytest.mark.long
def test_shards_one_after_the_other_run_every_test_once_whatever_is_remembered(project: Path) -> None:
    assert dt(project, "run", "--output-dir", "all").returncode == 0
    everything = ran(project, "all")
    for round_number in range(2):  # the second time with what the shards themselves left
        parts = f"parts{round_number}"
        for index in (1, 2, 3):
            done = dt(project, "run", "--shard", f"{index}/3", "--output-dir", f"{parts}/{index}")
            assert done.returncode == 0, done.stdout + done.stderr
        assert ran(project, parts) == everything
        merged = dt(project, "report", parts, "--output-dir", f"merged{round_number}")
        assert merged.stdout.splitlines()[-1] == f"{len(everything)} passed, 0 failed, 0 skipped"
        assert merged.returncode == 0


def test_a_report_of_shards_that_were_cut_from_different_plans_is_red(project: Path) -> None:
    dt(project, "run", "--shard", "1/2", "--output-dir", "parts/1")
    write(project, {"tests/test_new.py": "def test_new(): ...\n"})
    dt(project, "run", "--shard", "2/2", "--output-dir", "parts/2")
    merged = dt(project, "report", "parts")
    assert merged.returncode == 6
    assert "the shards were cut from different plans" in merged.stdout


def test_a_large_file_is_divided_with_its_classes_whole(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "test_large.py": """
                import pytest

                class TestOne:
                    @pytest.fixture(scope="class")
                    def made(self):
                        return []

                    @pytest.mark.parametrize("n", range(90))
                    def test_shared(self, made, n):
                        made.append(n)
                        assert len(made) == n + 1

                @pytest.mark.parametrize("n", range(910))
                def test_n(n): ...
                """,
            "test_small.py": "def test_small(): ...\n",
            "test_module.py": """
                import pytest

                @pytest.fixture(scope="module")
                def made():
                    return []

                @pytest.mark.parametrize("n", range(60))
                def test_shared(made, n):
                    made.append(n)
                    assert len(made) == n + 1
                """,
        },
    )
    counts = []
    for index in (1, 2, 3, 4):
        done = dt(tmp_path, "run", "--shard", f"{index}/4", "--output-dir", f"parts/{index}")
        assert done.returncode == 0, done.stdout + done.stderr
        counts.append(sum(ran(tmp_path, f"parts/{index}").values()))
    assert sum(counts) == 1061
    assert set(ran(tmp_path, "parts").values()) == {1}
    assert max(counts) <= 1061 / 4 * 1.1
    assert dt(tmp_path, "report", "parts").returncode == 0


def test_a_file_whose_ids_differ_from_process_to_process_is_told_and_not_green(tmp_path: Path) -> None:
    source = "import os, pytest\n\n@pytest.mark.parametrize('n', [f'{os.getpid()}-{n}' for n in range(60)])\n"
    write(tmp_path, {"test_pids.py": source + "def test_n(n): ...\n"})
    for index in (1, 2):
        dt(tmp_path, "run", "--shard", f"{index}/2", "--output-dir", f"parts/{index}")
    merged = dt(tmp_path, "report", "parts")
    assert merged.returncode == 6
    assert "pytest does not find the same tests of test_pids.py in each process" in merged.stdout


@pytest.mark.long
def test_what_pytest_finds_beside_the_plan_runs_in_one_shard(tmp_path: Path) -> None:
    documents = {f"docs/test_{n}.txt": ">>> 1 + 1\n2\n" for n in range(8)}
    write(tmp_path, {"test_a.py": "def test_a(): ...\n", "test_b.py": "def test_b(): ...\n", **documents})
    for index in (1, 2, 3):
        done = dt(tmp_path, "run", "--shard", f"{index}/3", "--output-dir", f"parts/{index}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(ran(tmp_path, "parts").elements()) == sorted(
        ["test_a.py::test_a", "test_b.py::test_b", *(f"docs/test_{n}.txt::test_{n}.txt" for n in range(8))]
    )
    assert dt(tmp_path, "report", "parts").returncode == 0


def test_a_plan_that_is_handed_on_balances_by_time_and_keeps_its_choice(project: Path) -> None:
    dt(project, "run", "--output-dir", "all")
    assert dt(project, "plan", "--plan-file", "dt-plan.json", "--test-files", "tests/test_a.py").returncode == 0
    assert dt(project, "plan", "--plan-file", "dt-plan.json").returncode == 0
    shares = [
        json.loads(dt(project, "plan", "--json", "--plan-file", "dt-plan.json", "--shard", f"{index}/3").stdout)
        for index in (1, 2, 3)
    ]
    assert len({share["digest"] for share in shares}) == 1
    (project / ".dt_cache").rename(project / "gone")
    without = json.loads(dt(project, "plan", "--json", "--plan-file", "dt-plan.json", "--shard", "1/3").stdout)
    assert without["digest"] == shares[0]["digest"]
    dt(project, "plan", "--plan-file", "failed.json", "--only-failed", "--history", "gone/history")
    chosen = dt(project, "run", "--plan-file", "failed.json", "--shard", "1/2", "--output-dir", "none")
    assert chosen.returncode == 0
    assert "0 passed" in chosen.stdout


def test_a_plan_file_that_is_not_there_is_told_with_what_makes_it(project: Path) -> None:
    done = dt(project, "run", "--plan-file", "dt-plan.json", "--shard", "1/2")
    assert done.returncode == 4
    assert "--plan-file is 'dt-plan.json', which cannot be read: No such file" in done.stderr
    assert "dt plan --plan-file dt-plan.json" in done.stderr


def test_a_package_of_a_monorepo_runs_from_its_own_directory(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "packages/core/tests/test_a.py": "from pathlib import Path\n\ndef test_a(): assert Path('here').exists()\n",
            "packages/core/here": "",
            "packages/core/pyproject.toml": "[tool.dt]\noutput-dir = 'reports'\n",
        },
    )
    done = dt(tmp_path, "run", "--working-directory", "packages/core")
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped", done.stdout + done.stderr
    assert list((tmp_path / "packages/core/reports").glob("*.json"))

"""The commands as a person starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PASSING = "def test_ok():\n    pass\n"
MIXED = PASSING + "def test_no():\n    assert 'ü' == 'u'\n"
HEAVY = ("asyncio", "docker", "github", "jinja2", "requests", "rich", "sqlalchemy", "unittest.mock", "yaml", "_pytest")


def environment(**extra: str) -> dict[str, str]:
    """Ours without what would change how dt behaves."""
    hidden = ("DT_", "INPUT_", "COORDINATOR_", "PYTEST_X", "PYTEST_C", "PYTEST_V", "GITHUB_", "GITLAB_", "CI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return {**kept, **extra}


def dt(
    root: Path, *words: str, python: tuple[str, ...] = (sys.executable,), **extra: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python, "-m", "dt_action", *words],
        cwd=root,
        env=environment(**extra),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_a.py").write_text(MIXED, encoding="utf-8")
    return tmp_path


def test_a_run_tells_outcomes_reports_and_code(project: Path) -> None:
    done = dt(project, "run", "--workers", "1")
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"
    assert {path.suffix for path in (project / "test_reports").iterdir()} == {".json", ".md", ".html", ".xml"}
    for path in re.findall(r"^report: (.*)$", done.stdout, flags=re.MULTILINE):
        assert (project / path).is_file()


def test_verbose_gives_every_case_a_line(project: Path) -> None:
    assert "PASSED tests/test_a.py::test_ok" in dt(project, "run", "--verbose").stdout
    assert "PASSED tests/test_a.py::test_ok" not in dt(project, "run").stdout


def test_only_the_wanted_reports_are_written_and_junit_always(project: Path) -> None:
    dt(project, "run", "--report-formats", "json", "--output-dir", "out/deep")
    assert sorted(path.suffix for path in (project / "out/deep").iterdir()) == [".json", ".xml"]


def test_a_run_without_tests_ends_with_5(tmp_path: Path) -> None:
    done = dt(tmp_path, "run")
    assert done.returncode == 5
    assert "no test file was found" in done.stderr


def test_a_wrong_option_ends_with_4_before_anything_runs(project: Path) -> None:
    done = dt(project, "run", "--timeout", "soon", "--provider", "travis")
    assert done.returncode == 4
    assert done.stderr.startswith("error: 2 problems:")
    assert not (project / "test_reports").exists()


def test_an_interpreter_that_is_not_there_ends_with_4(project: Path) -> None:
    done = dt(project, "run", "--python", ".venv/bin/python")
    assert done.returncode == 4
    assert "--python is '.venv/bin/python'; expected a Python interpreter" in done.stderr


def test_reports_that_cannot_be_written_end_a_green_run_with_8(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(PASSING)
    (tmp_path / "taken").write_text("a file")
    done = dt(tmp_path, "run", "--output-dir", "taken")
    assert done.returncode == 8
    assert "reports could not be written" in done.stderr
    assert done.stdout.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("configured", "started", "words"),
    [
        ("tests", "", ("--test-dir", "tests")),
        ("tests", "", ("--test-files", "tests/sub/test_b.py")),
        ("", "tests", ("--test-dir", "sub")),
        ("", "tests", ("--test-files", "sub/test_b.py")),
        ("", "tests/sub", ()),
    ],
)
def test_pytests_rootdir_may_lie_above_or_below(
    tmp_path: Path, configured: str, started: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "tests/sub").mkdir(parents=True)
    (tmp_path / configured / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "tests/sub/test_b.py").write_text(PASSING)
    done = dt(tmp_path / started, "run", *words)
    assert done.stdout.splitlines()[-1:] == ["1 passed, 0 failed, 0 skipped"], done.stdout + done.stderr
    assert done.returncode == 0


def test_the_action_runs_without_arguments_and_reads_its_inputs(project: Path) -> None:
    done = dt(project, GITHUB_ACTIONS="true", INPUT_TEST_FILES="tests/gone.py")
    assert done.returncode == 4
    assert "input test_files names 'tests/gone.py'" in done.stderr


def test_the_tests_do_not_see_the_coordinators_key(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import os\ndef test_a():\n    assert 'COORDINATOR_API_KEY' not in os.environ\n"
    )
    done = dt(tmp_path, "run", COORDINATOR_API_KEY="k-12345678")
    assert done.returncode == 0, done.stdout


def test_a_secret_that_a_test_prints_is_masked_everywhere(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("import os\ndef test_a():\n    assert not os.environ['DEPLOY_TOKEN']\n")
    done = dt(tmp_path, "run", "--redact", "DEPLOY_TOKEN", DEPLOY_TOKEN="hunter2-hunter2")
    assert done.returncode == 1
    told = done.stdout + done.stderr
    told += "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "test_reports").iterdir())
    assert "hunter2-hunter2" not in told


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_a_cancelled_run_reports_what_had_finished_and_ends_with_2(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "import pathlib, time\ndef test_ok():\n    pass\n"
        "def test_long():\n    pathlib.Path('started').touch()\n    time.sleep(600)\n"
    )
    command = [sys.executable, "-m", "dt_action", "run", "--workers", "1", "--report-formats", "json"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert out.splitlines()[-1].startswith("1 passed, 0 failed")
    assert list((tmp_path / "test_reports").glob("*.json"))


def test_a_plan_shows_files_types_and_expected_seconds(project: Path) -> None:
    (project / "tests/stress").mkdir()
    (project / "tests/stress/test_b.py").write_text(PASSING)
    table = dt(project, "plan").stdout.splitlines()
    assert table[0].split() == ["expected", "type", "file", "needs"]
    assert table[-1].startswith("2 files")
    told = json.loads(dt(project, "plan", "--json", "--test-type", "stress").stdout)
    assert [(file["path"], file["test_type"]) for file in told["files"]] == [("tests/stress/test_b.py", "stress")]


def test_shards_of_a_plan_are_the_plan(project: Path) -> None:
    for number in range(5):
        (project / f"tests/test_n{number}.py").write_text(PASSING * (number + 1))
    shares = [json.loads(dt(project, "plan", "--json", "--shard", f"{index}/3").stdout) for index in (1, 2, 3)]
    together = [file["path"] for share in shares for file in share["files"]]
    whole = json.loads(dt(project, "plan", "--json").stdout)
    assert sorted(together) == sorted(file["path"] for file in whole["files"])


def test_config_tells_each_value_and_its_source_and_no_secret(project: Path) -> None:
    (project / "dt.yml").write_text("workers: 3\n")
    done = dt(project, "config", "--retries", "2", "--json", COORDINATOR_API_KEY="k-12345678")
    told = {row["option"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}
    assert told["workers"] == ("3", "workers in dt.yml")
    assert told["retries"] == ("2", "--retries")
    assert told["api-key"] == ("***", "environment variable COORDINATOR_API_KEY")
    assert told["timeout"] == ("1h", "default")
    assert "k-12345678" not in done.stdout + done.stderr


def test_the_doctor_starts_a_session_and_names_what_changes_how_tests_run(project: Path) -> None:
    plain = dt(project, "doctor")
    assert "each file is collected in its turn" in plain.stdout
    hooks = "def pytest_collection_modifyitems(items):\n    items.reverse()\n\ndef pytest_sessionfinish(): pass\n"
    (project / "tests/conftest.py").write_text(hooks)
    told = dt(project, "doctor")
    assert "tests/conftest.py has pytest_collection_modifyitems" in told.stdout
    assert "tests/conftest.py has pytest_sessionfinish" in told.stdout
    (project / "tests/conftest.py").write_text("import nothing_like_it")
    broken = dt(project, "doctor")
    assert broken.returncode == 4
    assert "nothing_like_it" in broken.stdout


def test_the_doctor_finds_what_keeps_a_run_from_working(project: Path) -> None:
    well = dt(project, "doctor")
    assert well.returncode == 0, well.stdout
    assert well.stdout.splitlines()[-1] == "0 problems"
    (project / "taken").write_text("a file")
    ill = dt(project, "doctor", "--output-dir", "taken/reports", "--test-dir", "nowhere")
    assert ill.returncode == 4
    assert ill.stdout.splitlines()[-1] == "2 problems"


def test_output_survives_a_terminal_that_cannot_show_it(tmp_path: Path) -> None:
    (tmp_path / "test_ünïcode_🎉.py").write_text(PASSING, encoding="utf-8")
    done = dt(tmp_path, "plan", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "test_\\xfcn\\xefcode_\\U0001f389.py" in done.stdout


@pytest.mark.parametrize("words", [("--help",), ("config",), ("run", "--report-formats", "json")])
def test_a_command_loads_no_heavy_package(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "test_a.py").write_text(PASSING)
    done = dt(tmp_path, *words, python=(sys.executable, "-X", "importtime"))
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "dt_action.cli" in loaded
    assert not [name for name in loaded if name.startswith(HEAVY)]

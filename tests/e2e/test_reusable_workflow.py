"""The reusable workflow as GitHub would run it, attempt after attempt, by `act`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from act_rig import WORKFLOW, Act, act, hub
from github_double import GitHubDouble
from publications import pull_request_event

__all__ = ["act", "hub"]

CONFTEST = """
import os, pytest

@pytest.fixture(autouse=True)
def note(request):
    with open(os.environ["RAN"], "a") as log:
        log.write(request.node.nodeid + "\\n")
"""


class Workflow:
    """The reusable workflow, called by a project of which several files share the tests."""

    def __init__(self, act: Act, files: dict[str, str], **inputs: object) -> None:
        self.act = act
        self.ran_file = act.shared / "ran.log"
        for path in act.project.glob("tests/*/*.py"):
            path.unlink()
        for name, text in {"tests/conftest.py": CONFTEST, **files}.items():
            (act.project / name).parent.mkdir(parents=True, exist_ok=True)
            (act.project / name).write_text(dedent(text))
        self.inputs = {"comment": "always", "env": f"RAN={self.ran_file}", **inputs}
        self.act.project.joinpath(".github", "workflows").mkdir(parents=True)

    def attempt(self, number: int = 1, *, only: list[str] | None = None) -> tuple[int, str]:
        """
        One attempt at the workflow run: its exit code and log.

        With `only`, as "Re-run failed jobs" makes it: `plan` is not run again and has the outputs that it had, of `run`
        only these jobs are run, and `report`, which needs them.
        """
        document = yaml.safe_load(WORKFLOW.read_text())
        document["on"] = document.pop(True)
        if only is not None:
            told = json.dumps(self.matrix, separators=(",", ":"))
            outputs = f'echo \'matrix={told}\' >>"$GITHUB_OUTPUT"\necho attempt=1 >>"$GITHUB_OUTPUT"'
            document["jobs"]["plan"]["steps"] = [{"id": "plan", "run": outputs}]
            again = [job for job in self.matrix["include"] if job["name"] in only]
            document["jobs"]["run"]["strategy"]["matrix"] = {"include": again}
        called = self.act.project / ".github" / "workflows" / "called.yml"
        called.write_text(self.act.named(yaml.safe_dump(document, sort_keys=False)))
        caller = {
            "on": ["pull_request"],
            "jobs": {"tests": {"uses": "./.github/workflows/called.yml", "with": self.inputs, "secrets": "inherit"}},
        }
        caller_text = yaml.safe_dump(caller, sort_keys=False)
        if only is None:
            self.act.commit("all.yml", caller_text)  # a further attempt is at the same commit
        self.ran_file.write_text("")
        event = pull_request_event(self.act.shared, head=self.act.head)
        words = ("-e", str(event), "-W", ".github/workflows/all.yml")
        done = self.act.run("pull_request", *words, attempt=number)
        log = done.stdout + done.stderr
        if only is None:
            self.matrix: dict[str, Any] = json.loads(re.findall(r'\{"include":\[.*\]\}', log)[0])
        return done.returncode, log

    def ran(self) -> Counter[str]:
        """How often each test ran in the last attempt."""
        return Counter(self.ran_file.read_text().split())

    def parts(self) -> dict[str, dict[str, Any]]:
        """What each job of the matrix left, by its name."""
        found = {}
        for path in self.act.artifacts.glob("dt-part-*/test_report_*.json"):
            found[path.parent.name.removeprefix("dt-part-")] = json.loads(path.read_bytes())
        return found

    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(next(self.act.artifacts.glob("test-report/test_report_*.json")).read_bytes())
        return found

    def failed(self) -> list[str]:
        """The jobs of the matrix that are red: those that left a report with failures, or none."""
        parts = self.parts()
        names = [job["name"] for job in self.matrix["include"]]
        return [name for name in names if name not in parts or parts[name]["conclusion"] != "passed"]


FLAKY_AND_BAD = {
    "tests/test_a.py": "import os\n\ndef test_flaky(): assert os.environ['GITHUB_RUN_ATTEMPT'] != '1'\n"
    + "".join(f"def test_{n}(): ...\n" for n in range(4)),
    "tests/test_b.py": "import os\nfrom pathlib import Path\n\n"
    "def test_bad(): assert Path(os.environ['RAN']).with_name('repaired').exists()\n"
    + "".join(f"def test_{n}(): ...\n" for n in range(4)),
}


def test_failed_jobs_run_again_run_only_what_failed_and_flaky_is_told(act: Act, hub: GitHubDouble) -> None:
    workflow = Workflow(act, FLAKY_AND_BAD, shards=2)
    code, log = workflow.attempt()
    assert code == 1, log[-3000:]
    assert [job["name"] for job in workflow.matrix["include"]] == ["other-1-of-2", "other-2-of-2"]
    assert len(workflow.ran()) == 10
    assert workflow.report()["summary"] == "8 passed, 2 failed, 0 skipped"
    assert workflow.failed() == ["other-1-of-2", "other-2-of-2"]
    kept = list((act.artifacts.parent / "caches").glob("dt-history-*/.dt_cache/history/*.json"))
    assert kept, "the history of a red run is kept"

    (act.shared / "repaired").touch()
    code, log = workflow.attempt(2, only=workflow.failed())
    assert code == 0, log[-3000:]
    assert set(workflow.ran()) == {"tests/test_a.py::test_flaky", "tests/test_b.py::test_bad"}
    report = workflow.report()
    assert (report["conclusion"], report["summary"]) == ("passed", "10 passed, 0 failed, 0 skipped")
    assert report["totals"]["flaky"] == 2
    assert len(hub.repository.comments) == 1
    assert "passed" in hub.repository.comments[0]["body"].splitlines()[1]


@pytest.mark.long
def test_the_legs_of_a_matrix_are_one_report_and_one_comment(act: Act, hub: GitHubDouble) -> None:
    """One fails with a secret variable, and the only file of another one skips itself."""
    files = {
        "tests/integration/test_ok.py": "def test_ok(): ...\n",
        "tests/fault/test_skips.py": "import pytest\n\npytest.importorskip('torch')\n\ndef test_a(): ...\n",
        "tests/stress/test_bad.py": """
            import os

            def test_bad():
                print(os.environ["DATABASE"])
                assert os.environ["DATABASE"] == "nowhere"
            """,
    }
    act.secrets["TEST_ENV"] = "DATABASE=sqlite://hunter3"
    workflow = Workflow(act, files)
    code, log = workflow.attempt()
    assert code == 1, log[-3000:]
    assert workflow.report()["summary"] == "1 passed, 1 failed, 1 skipped"
    concluded = {leg: part["conclusion"] for leg, part in workflow.parts().items()}
    assert concluded == {"integration": "passed", "fault": "skipped", "stress": "failed"}
    assert len(hub.repository.comments) == 1
    assert "1 passed, 1 failed" in hub.repository.comments[0]["body"]
    told = log + hub.repository.comments[0]["body"]
    told += "".join(path.read_text() for path in act.artifacts.rglob("*.json"))
    assert "hunter3" not in told


@pytest.mark.long
def test_coverage_of_three_shards_is_that_of_plain_coverage(act: Act) -> None:
    source = "def price(n):\n    if n > 5:\n        return 10\n    if n > 3:\n        return 5\n    return 1\n"
    tests = {f"tests/test_{n}.py": f"from shop import price\n\ndef test_{n}(): assert price({n})\n" for n in (1, 4, 6)}
    files = {"shop.py": source, "conftest.py": "", ".coveragerc": "[run]\nsource = .\nomit = tests/*\n", **tests}
    workflow = Workflow(act, files, shards=3, coverage=True, fail_under="100")
    code, log = workflow.attempt()
    assert code == 0, log[-3000:]
    assert len(workflow.matrix["include"]) == 3
    plain = act.project / "plain.xml"
    environ = {"RAN": "/dev/null", "PATH": "/usr/bin:/bin"}
    for command in (["run", "-m", "pytest", "-q"], ["xml", "-o", str(plain)]):
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=act.project, env=environ, check=True)
    assert lines(act.artifacts / "test-report" / "coverage.xml") == lines(plain)


def lines(cobertura: Path) -> dict[str, dict[str, str]]:
    """The hits of each line by file."""
    found = {}
    for file in ET.parse(cobertura).iter("class"):
        found[file.attrib["filename"]] = {line.attrib["number"]: line.attrib["hits"] for line in file.iter("line")}
    return found


@pytest.mark.long
def test_a_job_that_is_killed_in_the_middle_is_missed_and_runs_again_as_a_whole(act: Act) -> None:
    marker = act.shared / "container"
    waits = f"""
        import os, socket, time

        def test_first(): ...

        def test_waits():
            if os.environ["GITHUB_RUN_ATTEMPT"] == "1":
                open({str(marker)!r}, "w").write(socket.gethostname())
                time.sleep(300)
        """
    workflow = Workflow(act, {"tests/stress/test_a.py": waits, "tests/fault/test_b.py": "def test_b(): ...\n"})
    killer = threading.Thread(target=kill_when_told, args=(marker,))
    killer.start()
    code, log = workflow.attempt()
    killer.join()
    assert code == 1, log[-3000:]
    report = workflow.report()
    assert report["conclusion"] == "incomplete"
    assert report["run"]["missing_shards"] == ["stress"]
    code, log = workflow.attempt(2, only=workflow.failed())
    assert code == 0, log[-3000:]
    assert workflow.ran() == Counter({"tests/stress/test_a.py::test_first": 1, "tests/stress/test_a.py::test_waits": 1})
    assert workflow.report()["summary"] == "3 passed, 0 failed, 0 skipped"


def kill_when_told(marker: Path) -> None:
    """Kill the container whose name a test writes, as a machine that goes down does."""
    deadline = time.monotonic() + 400
    while not (marker.is_file() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    if marker.is_file():
        subprocess.run(["docker", "kill", marker.read_text()], check=False, capture_output=True)

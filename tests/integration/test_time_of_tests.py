"""A slot waits for the others in the teardown of its last test: nobody may count that as the time of the test."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

WAITED_S = 3.0
LIMITS = {
    "an alarm of pytest-timeout": ["--timeout=1", "--timeout-method=signal"],
    "a thread of pytest-timeout": ["--timeout=1", "--timeout-method=thread"],
    "pytest's faulthandler": ["-p", "no:timeout", "-o", "faulthandler_timeout=1"],
    "nothing": [],
}


@pytest.mark.parametrize("args", LIMITS.values(), ids=LIMITS)
def test_a_limit_of_a_test_does_not_count_how_long_its_slot_waits(args: list[str], tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    wait = f"import time\nimport pytest\n\n\n@pytest.mark.timeout(60)\ndef test_long():\n    time.sleep({WAITED_S})\n"
    (tmp_path / "test_long.py").write_text(wait)
    (tmp_path / "test_quick.py").write_text("def test_quick(): pass\n")
    command = [str(Path(sys.executable).parent / "dt"), "run", "--workers", "2", "--report-formats", "json"]
    done = subprocess.run(
        [*command, "--", "--junitxml=junit.xml", "-p", "no:cacheprovider", *args],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(next((tmp_path / "test_reports").glob("*.json")).read_text())["tests"]
    assert {test["id"]: test["outcome"] for test in told} == {
        "test_long.py::test_long": "passed",
        "test_quick.py::test_quick": "passed",
    }
    seconds = {
        case.get("name"): float(case.get("time", "")) for case in ET.parse(tmp_path / "junit.xml").iter("testcase")
    }
    assert seconds["test_quick"] < WAITED_S / 2 < seconds["test_long"]

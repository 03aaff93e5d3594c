"""`dt explain`, the findings, and the skips that were a test on the wrong machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.analysis.explanation import explain, run_nowhere
from dt_action.analysis.placement import placement_misses
from dt_action.cli.explain import main
from dt_action.errors import ConfigurationError, ExitCode
from dt_action.model.case import Attempt, TestCase, TestFile, TestResult
from dt_action.model.hardware import Capability, Device, FileNeeds, Finding

SOURCE = """\
import pytest, torch

@pytest.mark.skipif(not torch.cuda.is_available(), reason="")
def test_x(): pass

@pytest.mark.dt(requires="xpu", exclusive="license", timeout=60)
def test_y(): pass

def test_z(): pass
"""
PLAIN = Capability(platform="linux")
CUDA = Capability(platform="linux", devices=(Device(kind="cuda"),))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "test_it.py").write_text(SOURCE)
    return tmp_path


def findings(root: Path, source: str) -> tuple[Finding, ...]:
    (root / "test_it.py").write_text(source)
    return StaticAnalyzer(root=root).analyze([TestFile(path="test_it.py")])["test_it.py"].findings


def test_a_file_is_explained_case_by_case(root: Path) -> None:
    assert explain(["test_it.py"], root=root, capability=PLAIN).splitlines() == [
        "test_it.py",
        "  other tests: needs nothing",
        "    would run here",
        "  test_x: needs cuda; the test skips itself elsewhere",
        "    because of test_it.py:3 (skipif)",
        "    not here: needs cuda, has no accelerator",
        "  test_y: needs xpu; the scheduler sees to it",
        "    alone with license",
        "    timeout 60 s",
        "    because of test_it.py:6 (dt-mark)",
        "    not here: needs xpu, has no accelerator",
    ]


def test_a_node_id_is_explained_alone(root: Path) -> None:
    text = explain(["test_it.py::test_x"], root=root, capability=CUDA)
    assert "test_x" in text
    assert "would run here" in text
    assert "test_y" not in text


def test_json_says_the_same(root: Path) -> None:
    (file,) = json.loads(explain(["test_it.py"], root=root, capability=PLAIN, as_json=True))
    by_name = {test["name"]: test for test in file["tests"]}
    assert by_name["test_x"]["needs"] == "cuda"
    assert by_name["test_x"]["evidence"] == [{"file": "test_it.py", "line": 3, "rule": "skipif"}]
    assert by_name["test_x"]["why_not_here"] == "needs cuda, has no accelerator"


def test_a_path_that_is_not_there_is_a_configuration_error(root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"test_gone.py") as caught:
        explain(["test_gone.py::test_x"], root=root)
    assert caught.value.hint


def test_the_command_prints_or_says_what_is_wrong(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(root), "test_it.py::test_x"], {}) == ExitCode.PASSED
    assert "needs cuda" in capsys.readouterr().out
    assert main(["--root", str(root), "nothing.py"], {}) == ExitCode.CONFIGURATION
    assert "nothing.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gate", "rules"),
    [
        ("@pytest.mark.skipf(True, reason='')", ["misspelt-gate"]),
        ("@pytest.mark.skipIf(True, reason='')", ["misspelt-gate"]),
        ("@pytest.mark.parameterize('x', [1])", ["misspelt-gate"]),
        ("@unittest.skipif(True, '')", ["misspelt-gate"]),
        ("@pytest.mark.skipif(True, reason='')", []),
        ("@pytest.mark.slow", []),
        ("@pytest.mark.skipif(not is_hpu_available(), reason='not supported on HPU for now')", ["reason-contradicts"]),
        ("@pytest.mark.skipif(is_hpu_available(), reason='not supported on HPU for now')", []),
        ("@pytest.mark.skipif(torch.cuda.is_available(), reason='requires CUDA')", ["reason-contradicts"]),
        ("@pytest.mark.skipif(not torch.cuda.is_available(), reason='requires CUDA')", []),
        ("@pytest.mark.skipif(not torch.cuda.is_available() or torch.xpu.is_available(), reason='')", []),
    ],
)
def test_a_gate_that_deceives_is_a_finding(tmp_path: Path, gate: str, rules: list[str]) -> None:
    found = findings(tmp_path, f"import pytest, torch, unittest\n{gate}\ndef test_x(): pass\n")
    assert [finding.evidence.rule for finding in found] == rules
    assert all(finding.evidence.line == 2 for finding in found)


def test_gates_that_exclude_each_other_are_a_finding(tmp_path: Path) -> None:
    source = (
        "import pytest, torch\n@pytest.mark.skipif(not torch.cuda.is_available(), reason='')\n"
        "@pytest.mark.skipif(torch.accelerator.is_available(), reason='')\ndef test_x(): pass\n"
    )
    assert [finding.evidence.rule for finding in findings(tmp_path, source)] == ["never-runs"]


def test_a_deliberate_skip_is_no_finding(tmp_path: Path) -> None:
    assert not findings(tmp_path, "import pytest\n@pytest.mark.skip(reason='later')\ndef test_x(): pass\n")


def test_what_no_configured_machine_runs_is_named(root: Path) -> None:
    needs = StaticAnalyzer(root=root).analyze([TestFile(path="test_it.py")])
    found = run_nowhere(needs.values(), [PLAIN, CUDA])
    assert [(finding.evidence.rule, finding.evidence.line) for finding in found] == [("runs-nowhere", 6)]
    assert run_nowhere(needs.values(), []) == ()


def skipped(message: str, *, name: str = "test_z", worker: str = "plain", outcome: str = "skipped") -> TestResult:
    case = TestCase(id=f"test_it.py::{name}", file="test_it.py", line=9)
    return TestResult(case=case, attempts=(Attempt(outcome=outcome, message=message, worker=worker),))  # type: ignore[arg-type]


def misses(root: Path, result: TestResult) -> list[tuple[str, str]]:
    needs: dict[str, FileNeeds] = dict(StaticAnalyzer(root=root).analyze([TestFile(path="test_it.py")]))
    found = placement_misses([result], needs, {"plain": PLAIN, "cuda": CUDA})
    return [(str(miss.wanted), miss.blind) for miss in found]


def test_a_skip_for_a_device_that_nobody_asked_for_is_a_miss(root: Path) -> None:
    assert misses(root, skipped("Skipped: needs a CUDA GPU")) == [("cuda", "no rule saw test_it.py:9")]


def test_the_place_of_the_skip_is_told(root: Path) -> None:
    found = misses(root, skipped("('helpers.py', 12, 'Skipped: no TPU')"))
    assert found == [("tpu", "no rule saw helpers.py:12")]


@pytest.mark.parametrize(
    "result",
    [
        skipped("Skipped: needs CUDA", name="test_x"),
        skipped("Skipped: needs CUDA", worker="cuda"),
        skipped("Skipped: not supported on MPS"),
        skipped("Skipped: slow"),
        skipped("CUDA is there", outcome="passed"),
        skipped("Skipped: needs CUDA", worker="unknown"),
    ],
    ids=["foreseen", "not lacking", "turned away", "no hardware", "not skipped", "unknown worker"],
)
def test_other_skips_are_no_misses(root: Path, result: TestResult) -> None:
    assert misses(root, result) == []

"""`dt explain`, and the findings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.analysis.explanation import explain
from dt_action.cli import main
from dt_action.errors import ConfigurationError, ExitCode
from dt_action.model.case import TestFile
from dt_action.model.hardware import Capability, Device, Finding

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


def test_the_command_prints_or_says_what_is_wrong(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    assert main(["explain", "test_it.py::test_x"], {}) == ExitCode.PASSED
    assert "needs cuda" in capsys.readouterr().out
    assert main(["explain", "nothing.py"], {}) == ExitCode.CONFIGURATION
    assert "nothing.py" in capsys.readouterr().err


def test_a_folder_is_explained_file_by_file(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "test_other.py").write_text("def test_a(): pass\n")
    monkeypatch.chdir(root)
    assert main(["explain", "."], {}) == ExitCode.PASSED
    told = capsys.readouterr().out.splitlines()
    assert [line for line in told if line.endswith(".py")] == ["sub/test_other.py", "test_it.py"]


def test_needs_by_path_come_from_the_settings(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "dt.yml").write_text('needs: {"test_*.py": "requires tpu; memory 8GiB"}\n')
    monkeypatch.chdir(root)
    assert main(["explain", "test_it.py::test_z"], {}) == ExitCode.PASSED
    assert "test_z: needs tpu and 8 GiB of memory; the scheduler sees to it" in capsys.readouterr().out


def test_needs_by_path_that_cannot_be_read_are_told_all_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "dt.yml").write_text("needs: {a.py: requires quda, b.py: needs cuda}\n")
    monkeypatch.chdir(root)
    assert main(["explain", "test_it.py"], {}) == ExitCode.CONFIGURATION
    told = capsys.readouterr().err
    assert "'quda' is no kind of device" in told
    assert "'needs cuda'" in told


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

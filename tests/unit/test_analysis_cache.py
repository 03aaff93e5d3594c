"""The cache holds while every file that mattered is unchanged, and work is spread without changing the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dt_action.analysis import StaticAnalyzer, analyzer
from dt_action.analysis.codec import decode, encode
from dt_action.analysis.explicit import PathRule
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds

GATE = "import pytest, torch\nneeds = pytest.mark.skipif(not torch.{}.is_available(), reason='')\n"
TEST = "from gates import needs\n@needs\ndef test_x(): pass\n"


def make(root: Path, device: str = "cuda") -> None:
    (root / "gates.py").write_text(GATE.format(device))
    (root / "test_it.py").write_text(TEST)


def analyze(root: Path, *rules: PathRule) -> FileNeeds:
    found = StaticAnalyzer(root=root, cache_dir=root / ".cache", path_rules=rules)
    return found.analyze([TestFile(path="test_it.py")])["test_it.py"]


def poison(root: Path) -> None:
    """Change what is stored, to see whether it is used."""
    file = root / ".cache/analysis.json"
    stored = json.loads(file.read_text())
    stored["entries"]["test_it.py"]["needs"]["default"] = {"browser": "stored"}
    file.write_text(json.dumps(stored))


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    make(tmp_path)
    assert str(analyze(tmp_path).of("test_x")) == "cuda"
    poison(tmp_path)
    assert str(analyze(tmp_path).default) == "stored"


def test_a_changed_test_file_is_read_again(tmp_path: Path) -> None:
    make(tmp_path)
    analyze(tmp_path)
    poison(tmp_path)
    (tmp_path / "test_it.py").write_text(TEST + "\n")
    assert str(analyze(tmp_path).of("test_x")) == "cuda"


def test_a_changed_helper_is_read_again(tmp_path: Path) -> None:
    make(tmp_path)
    analyze(tmp_path)
    (tmp_path / "gates.py").write_text(GATE.format("xpu"))
    assert str(analyze(tmp_path).of("test_x")) == "xpu"


def test_a_new_conftest_is_read(tmp_path: Path) -> None:
    make(tmp_path)
    analyze(tmp_path)
    gate = (
        "import pytest, sys\n@pytest.fixture(autouse=True)\ndef g():\n    if sys.platform == 'win32': pytest.skip('')\n"
    )
    (tmp_path / "conftest.py").write_text(gate)
    assert "linux" in str(analyze(tmp_path).of("test_x"))


def test_other_path_rules_are_another_question(tmp_path: Path) -> None:
    make(tmp_path)
    analyze(tmp_path)
    assert str(analyze(tmp_path, PathRule(pattern="*", fields={"requires": "tpu"})).of("test_x")) == "tpu"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "null", '{"key": "", "entries": {"test_it.py": 3}}'])
def test_a_store_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    make(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/analysis.json").write_text(text)
    assert str(analyze(tmp_path).of("test_x")) == "cuda"


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / ".cache").write_text("a file where the folder should be")
    assert str(analyze(tmp_path).of("test_x")) == "cuda"


def test_needs_survive_the_way_through_json(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.dt(requires='cuda[sm90, 24GiB]>=2 or xpu, not rocm', memory='4GiB',"
        "\n    platform='linux', browser='chrome', timeout=60, exclusive='license', priority=2)\n"
        "def test_x(): pass\ndef test_y(): pass\n"
        "# dt: nonsense\n"
    )
    needs = analyze(tmp_path)
    again = decode(json.loads(json.dumps(encode(needs))))
    assert again == needs
    assert again.of("test_x").evidence == needs.of("test_x").evidence


def test_several_processes_give_the_same_answer(tmp_path: Path) -> None:
    make(tmp_path)
    files = []
    for number in range(2 * analyzer.WORTH_A_PROCESS):
        (tmp_path / f"test_{number}.py").write_text(TEST if number % 2 else "def test_x(): pass\n")
        files.append(TestFile(path=f"test_{number}.py"))
    alone = StaticAnalyzer(root=tmp_path, processes=1).analyze(files)
    together = StaticAnalyzer(root=tmp_path, processes=2).analyze(files)
    assert alone == together
    assert str(together["test_1.py"].of("test_x")) == "cuda"

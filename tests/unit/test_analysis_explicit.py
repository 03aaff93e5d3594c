"""Marks, pragmas and path rules: one grammar, and its authority over what is inferred."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.analysis.explicit import GrammarError, PathRule, read_devices, read_seconds, read_size
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds


def analyze(root: Path, source: str, *rules: PathRule) -> FileNeeds:
    (root / "test_it.py").write_text("import pytest, torch\n" + dedent(source))
    return StaticAnalyzer(root=root, path_rules=rules).analyze([TestFile(path="test_it.py")])["test_it.py"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda", "cuda"),
        ("cuda>=2", "2 cuda"),
        ("cuda or xpu>=2", "cuda or 2 xpu"),
        ("cuda | rocm", "cuda or rocm"),
        ("cuda[sm90, 24GiB]>=2", "2 cuda with 24 GiB with sm90"),
        ("gpu, webgpu", "gpu and webgpu"),
        ("none", ""),
    ],
)
def test_devices_are_read(text: str, expected: str) -> None:
    clauses, excludes = read_devices(text)
    assert " and ".join(map(str, clauses)) == expected
    assert not excludes


def test_a_kind_can_be_turned_away() -> None:
    clauses, excludes = read_devices("gpu, not rocm")
    assert (" ".join(map(str, clauses)), excludes) == ("gpu", frozenset({"rocm"}))


@pytest.mark.parametrize("text", ["", "cuda>=0", "graphics", "cuda>>2", "not graphics", None, 7])
def test_devices_that_cannot_be_read_say_what_was_expected(text: object) -> None:
    with pytest.raises(GrammarError, match=r"expected"):
        read_devices(text)


def test_sizes_and_times_have_units() -> None:
    assert [read_size(text) for text in ("24GiB", "512 MB", 1024)] == [24 * 1024**3, 512 * 1024**2, 1024]
    assert [read_seconds(text) for text in (600, "90s", "10m", "2h")] == [600, 90, 600, 7200]


def test_every_field_of_a_mark_is_read(tmp_path: Path) -> None:
    source = """
        @pytest.mark.dt(requires="cuda>=2", memory="24GiB", browser="chrome", platform="linux", timeout=600,
                        exclusive="license", priority=5)
        def test_x(): pass
    """
    found = analyze(tmp_path, source).of("test_x")
    assert str(found) == "2 cuda and chrome and on linux and 24 GiB of memory"
    assert (found.timeout_s, found.exclusive, found.priority, found.enforced) == (600, frozenset({"license"}), 5, True)


def test_what_is_said_of_devices_replaces_what_is_inferred(tmp_path: Path) -> None:
    source = """
        @pytest.mark.skipif(not torch.cuda.is_available(), reason="")
        @pytest.mark.dt(requires="xpu")
        def test_x(): pass

        @pytest.mark.dt(requires="none")
        @pytest.mark.skipif(not torch.cuda.is_available(), reason="")
        def test_y(): pass

        @pytest.mark.dt(timeout="5m")
        @pytest.mark.skipif(not torch.cuda.is_available(), reason="")
        def test_z(): pass
    """
    needs = analyze(tmp_path, source)
    assert [str(needs.of(name)) for name in ("test_x", "test_y", "test_z")] == ["xpu", "nothing", "cuda"]
    assert [needs.of(name).enforced for name in ("test_x", "test_y", "test_z")] == [True, False, False]


def test_the_nearer_word_counts(tmp_path: Path) -> None:
    source = """
        pytestmark = pytest.mark.dt(requires="cuda", priority=1)

        @pytest.mark.dt(requires="rocm")
        class TestA:
            def test_x(self): pass

            @pytest.mark.dt(requires="mps")
            def test_y(self): pass

        def test_z(): pass
    """
    needs = analyze(tmp_path, source)
    assert [str(needs.of(n)) for n in ("TestA::test_x", "TestA::test_y", "test_z")] == ["rocm", "mps", "cuda"]
    assert needs.of("TestA::test_y").priority == 1


def test_a_row_can_carry_a_mark(tmp_path: Path) -> None:
    source = """
        @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.dt(requires="cuda>=2"))])
        def test_x(n): pass
    """
    needs = analyze(tmp_path, source)
    assert (str(needs.of("test_x[1]")), str(needs.of("test_x[2]"))) == ("nothing", "2 cuda")


def test_a_pragma_speaks_for_what_is_below_it_or_beside_it(tmp_path: Path) -> None:
    source = """
        # dt: priority 2
        text = '# dt: requires tpu'

        # dt: requires cuda; exclusive license
        @pytest.mark.slow
        def test_x(): pass

        class TestA:
            def test_y(self):  # dt: requires xpu
                pass

        def test_z(): pass
    """
    needs = analyze(tmp_path, source)
    assert [str(needs.of(n)) for n in ("test_x", "TestA::test_y", "test_z")] == ["cuda", "xpu", "nothing"]
    assert needs.of("test_x").exclusive == {"license"}
    assert {needs.of(n).priority for n in ("test_x", "TestA::test_y", "test_z")} == {2}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("# dt: require cuda\ndef test_x(): pass\n", 2),
        ("def test_x(): pass\n\n# dt: requires cuda\n\nx = 1\n", 4),
        ("@pytest.mark.dt(requires='graphics')\ndef test_x(): pass\n", 2),
        ("@pytest.mark.dt(needs='cuda')\ndef test_x(): pass\n", 2),
    ],
)
def test_what_cannot_be_read_is_a_finding_with_its_line(tmp_path: Path, source: str, line: int) -> None:
    needs = analyze(tmp_path, source)
    assert [finding.evidence.line for finding in needs.findings] == [line]
    assert needs.of("test_x").needs_nothing


def test_a_field_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    needs = analyze(tmp_path, "@pytest.mark.dt(requires='cuda', memory='much')\ndef test_x(): pass\n")
    assert str(needs.of("test_x")) == "cuda"
    assert len(needs.findings) == 1


def test_configuration_stands_between_inference_and_a_mark(tmp_path: Path) -> None:
    source = """
        @pytest.mark.skipif(not torch.cuda.is_available(), reason="")
        def test_x(): pass

        @pytest.mark.dt(requires="mps")
        def test_y(): pass
    """
    rule = PathRule(pattern="**/test_*.py", fields={"requires": "xpu"}, source="pyproject.toml")
    needs = analyze(tmp_path, source, rule)
    assert [str(needs.of(name)) for name in ("test_x", "test_y")] == ["xpu", "mps"]
    assert needs.of("test_x").enforced


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("tests/gpu/*.py", "tests/gpu/test_a.py", True),
        ("tests/gpu/*.py", "tests/gpu/deep/test_a.py", False),
        ("**/gpu/**", "tests/gpu/deep/test_a.py", True),
        ("**/test_*.py", "test_a.py", True),
        ("tests/test_?.py", "tests/test_ab.py", False),
    ],
)
def test_a_pattern_names_paths(pattern: str, path: str, expected: bool) -> None:
    assert PathRule(pattern=pattern, fields={}).matches(path) is expected

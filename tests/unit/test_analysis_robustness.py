"""Whatever is in a file, the analysis ends with needs and, where it must, a finding."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds

HOT = b"import torch, pytest\n@pytest.mark.skipif(not torch.cuda.is_available(), reason='')\ndef test_x(): pass\n"


def analyze(root: Path, raw: bytes) -> FileNeeds:
    (root / "test_it.py").write_bytes(raw)
    return StaticAnalyzer(root=root).analyze([TestFile(path="test_it.py")])["test_it.py"]


@pytest.mark.parametrize(
    "raw",
    [
        b"def test_x(:\n",
        b"def test_x(): pass\n\0",
        b"# -*- coding: no-such-thing -*-\ndef test_x(): pass\n",
        b"x = '\xff\xfe'\ndef test_x(): pass\n",
        b"x = " + b"(" * 5000 + b")" * 5000,
        b"x = " + b"-" * 20000 + b"1",
        b"x = " + b"[" * 150 + b"]" * 150 + b"\nif cuda" + b" and (cuda" * 300,
        b"#" * (5 * 1024**2),
        "def test_x(): pass\n".encode("utf-16"),
    ],
    ids=["syntax", "null", "unknown-encoding", "not-utf8", "parentheses", "minus", "broken", "huge", "utf16"],
)
def test_a_file_that_cannot_be_read_needs_nothing_and_says_so(tmp_path: Path, raw: bytes) -> None:
    needs = analyze(tmp_path, raw)
    assert needs.default.needs_nothing
    assert [finding.evidence.rule for finding in needs.findings] == ["unreadable"]


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf" + HOT,
        b"# -*- coding: latin-1 -*-\nx = '\xe9'\n" + HOT,
        HOT.replace(b"\n", b"\r\n"),
        HOT + b"x = " + b" + ".join([b"1"] * 900) + b"\n",
        HOT + b"def helper():\n    return helper()\n" + b"y = helper()\n",
        HOT + b"while True:\n    pass\n",
        HOT + b"z = [0] * 10**9\nw = 'x' * 10**12\nv = list(range(10**9))\nu = 9**9**9\n",
    ],
    ids=["bom", "latin1", "crlf", "long-sum", "endless-recursion", "endless-loop", "enormous-values"],
)
def test_an_odd_file_is_read_all_the_same(tmp_path: Path, raw: bytes) -> None:
    needs = analyze(tmp_path, raw)
    assert str(needs.of("test_x")) == "cuda"
    assert not needs.findings


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    needs = StaticAnalyzer(root=tmp_path).analyze([TestFile(path="test_gone.py")])["test_gone.py"]
    assert [finding.evidence.rule for finding in needs.findings] == ["unreadable"]


def test_enormous_values_in_a_gate_are_not_computed(tmp_path: Path) -> None:
    condition = b"9**9**9 > len('x' * 10**12) or len(list(range(10**12))) > 10**6"
    source = b"import pytest\n@pytest.mark.skipif(" + condition + b", reason='')\ndef test_x(): pass\n"
    assert analyze(tmp_path, source).of("test_x").needs_nothing


def test_values_that_double_stay_small(tmp_path: Path) -> None:
    source = (
        b"import pytest\ntext, rows = 'x' * 9, [1]\nfor turn in range(32):\n    text += text\n    rows.extend(rows)\n"
    )
    source += b"@pytest.mark.skipif(len(text) > 3 * len(rows), reason='')\ndef test_x(): pass\n"
    assert analyze(tmp_path, source).of("test_x").needs_nothing


def test_the_module_is_never_imported(tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    analyze(tmp_path, HOT + f"open({str(trace)!r}, 'w')\n".encode())
    assert not trace.exists()


WORDS = st.sampled_from(
    ["def test_x(d):", "class TestA:", "@pytest.mark.skipif(", "torch.cuda.is_available()", ")", "if", "not", ":", "\n",
     "\n    ", "\n        ", "pytest.skip('')", "import torch", "pytestmark", "=", "[", "]", "lambda", "for x in y",
     "yield", "'cuda'", "d", "1", "(", ",", "with", "try:", "except:", "return", "raise",
     "self.skipTest()", "await", "*", "**"]
)  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_no_arrangement_of_words_raises(tmp_path: Path, text: str) -> None:
    needs = analyze(tmp_path, text.encode())
    assert not any(finding.evidence.rule == "not-understood" for finding in needs.findings)

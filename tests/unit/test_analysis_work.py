"""How much work a file is, counted in calls of functions: what tests have in common is worked out once."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from types import FrameType
from typing import Any

from dt_action.analysis.project import Project
from dt_action.analysis.summary import analyze_file

HEAD = "import unittest\nimport pytest, torch\n"
GATED = "@pytest.mark.skipif(not HAS, reason='')\ndef test_x(): pass\n"


def calls(root: Path, source: str, conftest: str = "") -> int:
    """How many functions are called to analyse a file."""
    (root / "test_it.py").write_text(HEAD + dedent(source))
    (root / "conftest.py").write_text(HEAD + dedent(conftest))
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        found = analyze_file(Project(root), "test_it.py")
    finally:
        sys.setprofile(before)
    assert not found.findings
    return count


def grows(root: Path, source: Callable[[int], str], conftest: str = "") -> float:
    """How many times the work of 4 is the work of 40."""
    calls(root, source(4), conftest)  # what is known of names is found out once
    return calls(root, source(40), conftest) / calls(root, source(4), conftest)


def test_tests_that_share_a_fixture_that_gates_are_followed_once(tmp_path: Path) -> None:
    conftest = """
        def find():
            for kind in ("cuda", "xpu"):
                if getattr(torch, kind).is_available():
                    return kind
            pytest.skip("no device")

        @pytest.fixture
        def device(): return find()
    """
    assert grows(tmp_path, lambda n: "".join(f"def test_{i}(device): pass\n" for i in range(n)), conftest) < 2.5


def test_tests_that_a_hook_takes_for_the_same_are_followed_once(tmp_path: Path) -> None:
    conftest = """
        def pytest_runtest_setup(item):
            if item.get_closest_marker("gpu") and not torch.cuda.is_available():
                pytest.skip("no device")
    """
    assert grows(tmp_path, lambda n: "".join(f"def test_{i}(): pass\n" for i in range(n)), conftest) < 4


def test_classes_without_a_bearing_on_their_tests_are_followed_once(tmp_path: Path) -> None:
    classes = "class Test{}(unittest.TestCase):\n    def test_x(self): pass\n"
    gate = "HAS = torch.cuda.is_available()\n"
    assert grows(tmp_path, lambda n: gate + "".join(map(classes.format, range(n)))) < 5


def test_cases_that_read_the_same_are_followed_once(tmp_path: Path) -> None:
    source = """
        @pytest.mark.parametrize("kind", ["a", "b"])
        @pytest.mark.parametrize("size", [{}])
        def test_x(size, kind):
            if kind == "b" and not torch.cuda.is_available():
                pytest.skip("no device")
            if kind == "c" and size > 1:
                pytest.skip("too large")
    """
    few, many = (source.format(", ".join(map(str, range(n)))) for n in (2, 20))
    calls(tmp_path, few)
    assert calls(tmp_path, many) < 4 * calls(tmp_path, few)


def test_names_that_a_loop_binds_in_terms_of_each_other_do_not_run_it_in_every_order(tmp_path: Path) -> None:
    def of(n: int) -> str:
        names = [f"name{i}" for i in range(n)]
        head = "".join(f"def {name}(cuda): pass\n" for name in names)
        body = "".join(f"    {name} = wrap({', '.join(reversed(names))})\n" for name in names)
        return f"{head}for cuda in (0, 1):\n{body}HAS = torch.cuda.is_available() and name0\n" + GATED

    calls(tmp_path, of(2))
    assert calls(tmp_path, of(6)) < 12 * calls(tmp_path, of(2))


def test_a_file_that_is_let_go_is_freed_without_the_garbage_collector(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import torch, pytest\n@pytest.mark.skipif(not torch.cuda.is_available(), reason='')\ndef test_x(): pass\n"
    )
    project = Project(tmp_path)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        analyze_file(project, "test_it.py")
        tree = weakref.ref(project.read("test_it.py").tree)
        project.forget("test_it.py")
        assert tree() is None
    finally:
        if was_enabled:
            gc.enable()

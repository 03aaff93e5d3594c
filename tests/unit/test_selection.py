"""Which tests run out of all, and why."""

from __future__ import annotations

import pytest

from dt_action.model.case import TestFile
from dt_action.planning.import_graph import Graph
from dt_action.planning.selection import changed_since, only_failed

FILES = [TestFile(path=f"tests/test_{name}.py") for name in "abc"]
GRAPH = Graph(
    imports={
        "tests/test_a.py": frozenset({"pkg/a.py", "tests/conftest.py"}),
        "tests/test_b.py": frozenset({"pkg/b.py", "tests/conftest.py"}),
        "tests/test_c.py": frozenset({"tests/conftest.py"}),
        "tests/conftest.py": frozenset(),
        "pkg/__init__.py": frozenset(),
        "pkg/a.py": frozenset({"pkg/b.py", "pkg/__init__.py"}),
        "pkg/b.py": frozenset({"pkg/__init__.py"}),
    }
)


def reasons(*changed: str) -> dict[str, str]:
    choice = changed_since(FILES, changed, GRAPH, asked="--changed-since x", folders={"pkg"})
    told = {item.path[len("tests/test_")]: item.reason for item in choice.told.chosen}
    assert [file.path for file in choice.files] == [item.path for item in choice.told.chosen]
    assert set(choice.told.left_out) == {file.path for file in FILES} - {file.path for file in choice.files}
    return told


def test_a_change_reaches_those_that_import_it_with_the_way() -> None:
    assert reasons("pkg/b.py") == {
        "a": "imports pkg/a.py -> pkg/b.py, which changed",
        "b": "imports pkg/b.py, which changed",
    }


def test_a_test_that_changed_is_run() -> None:
    assert reasons("tests/test_c.py") == {"c": "it changed"}


def test_a_conftest_concerns_all_below_it() -> None:
    assert reasons("tests/conftest.py") == dict.fromkeys("abc", "is under tests/conftest.py, which changed")


def test_data_in_a_package_stands_for_the_package() -> None:
    assert reasons("pkg/data/table.csv") == {
        "a": "imports pkg/a.py -> pkg/__init__.py, beside which pkg/data/table.csv changed",
        "b": "imports pkg/b.py -> pkg/__init__.py, beside which pkg/data/table.csv changed",
    }


def test_data_beside_tests_concerns_the_tests_there() -> None:
    assert reasons("tests/data/x.json") == dict.fromkeys("abc", "tests/data/x.json changed, which lies beside it")


@pytest.mark.parametrize("path", ["pyproject.toml", "requirements-dev.txt", "poetry.lock", "src/ext.c", "sub/setup.py"])
def test_what_no_import_shows_concerns_all(path: str) -> None:
    assert reasons(path) == dict.fromkeys("abc", f"{path} changed, which may concern every test")


@pytest.mark.parametrize("path", ["README.md", "docs/logo.png", ".github/workflows/ci.yml", "LICENSE", "tools/x.py"])
def test_what_no_test_reads_concerns_none(path: str) -> None:
    assert reasons(path) == {}


def test_only_failed_takes_the_cases_and_whole_files_that_could_not_be_collected() -> None:
    choice = only_failed(FILES, {"tests/test_a.py::x", "tests/test_a.py::y", "tests/test_b.py", "tests/test_z.py::q"})
    assert choice.cases == {"tests/test_a.py": ("tests/test_a.py::x", "tests/test_a.py::y")}
    assert {item.path: item.reason for item in choice.told.chosen} == {
        "tests/test_a.py": "2 of its tests failed before",
        "tests/test_b.py": "could not be collected before",
    }
    assert choice.told.left_out == ("tests/test_c.py",)


def test_two_choices_in_a_row_tell_both_reasons() -> None:
    first = changed_since(FILES, ["pkg/b.py"], GRAPH, asked="--changed-since x")
    both = only_failed(first.files, {"tests/test_b.py::q"}).told.after(first.told)
    assert both.asked == "--changed-since x --only-failed"
    assert both.chosen[0].reason == "imports pkg/b.py, which changed; 1 of its tests failed before"
    assert set(both.left_out) == {"tests/test_a.py", "tests/test_c.py"}


def test_what_tests_ran_before_counts_beside_what_they_import() -> None:
    ran = {"tests/test_c.py": {"pkg/b.py"}, "tests/test_a.py": {"pkg/b.py"}, "tests/gone.py": {"pkg/b.py"}}
    choice = changed_since(FILES, ["pkg/b.py"], GRAPH, asked="x", folders={"pkg"}, ran=ran)
    assert {item.path: item.reason for item in choice.told.chosen} == {
        "tests/test_a.py": "imports pkg/a.py -> pkg/b.py, which changed",
        "tests/test_b.py": "imports pkg/b.py, which changed",
        "tests/test_c.py": "ran lines of pkg/b.py before, which changed",
    }

"""Which tests run out of all, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dt_action.model.case import TestFile
from dt_action.model.recording import CaseSeen, Recording
from dt_action.planning.changes import FileChange
from dt_action.planning.choice import only_failed
from dt_action.planning.import_graph import Graph
from dt_action.planning.knowledge import Knowledge
from dt_action.planning.reach.repository import Repository
from dt_action.planning.reach.source_facts import facts_of
from dt_action.planning.selection import changed_since

FILES = [TestFile(path=f"tests/test_{name}.py") for name in "abc"]
IMPORTS = {
    "tests/test_a.py": frozenset({"pkg/a.py", "tests/conftest.py"}),
    "tests/test_b.py": frozenset({"pkg/b.py", "tests/conftest.py"}),
    "tests/test_c.py": frozenset({"tests/conftest.py"}),
    "tests/conftest.py": frozenset(),
    "pkg/__init__.py": frozenset(),
    "pkg/a.py": frozenset({"pkg/b.py", "pkg/__init__.py"}),
    "pkg/b.py": frozenset({"pkg/__init__.py"}),
}


def graph(**says: str) -> Graph:
    """The graph above, in which some files (by their names without a suffix) say something that no import shows."""
    facts = {path: facts_of(says.get(path.rpartition("/")[2][:-3], "").encode()) for path in IMPORTS}
    return Graph(imports=IMPORTS, repository=Repository(root=Path(), facts=facts))


def edited(path: str, before: str = "x = 1", after: str = "x = 2") -> FileChange:
    return FileChange(path=path, before=before.encode(), after=after.encode())


def reasons(*changed: str | FileChange, says: dict[str, str] | None = None) -> dict[str, str]:
    changes = [edited(item) if isinstance(item, str) else item for item in changed]
    choice = changed_since(FILES, changes, graph(**says or {}), asked="--changed-since x")
    told = {item.path[len("tests/test_") : -3]: item.reason for item in choice.told.chosen}
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


@pytest.mark.parametrize("path", ["pkg/data/table.csv", "tests/data/x.json", "src/ext.c", "../other/x.bin"])
def test_data_concerns_all_where_nobody_saw_who_reads_it(path: str) -> None:
    assert reasons(path) == dict.fromkeys("abc", f"{path} changed, and it is not known which tests read it")


@pytest.mark.parametrize("path", ["tools/x.py", "pkg/new.py", "../else/x.py"])
def test_a_change_that_no_test_is_known_to_reach_concerns_all(path: str) -> None:
    assert reasons(path) == dict.fromkeys("abc", f"{path} changed, and no test is known to reach it")


def test_a_test_that_is_gone_or_that_another_run_takes_concerns_nobody() -> None:
    assert reasons(FileChange(path="tests/test_gone.py", before=b"def test(): pass")) == {}
    files, changes = FILES[:1], [edited("tests/test_b.py")]
    choice = changed_since(files, changes, graph(), asked="x", elsewhere={"tests/test_b.py", "tests/test_c.py"})
    assert choice.files == ()


def test_a_comment_concerns_nobody_but_those_that_look_at_sources() -> None:
    comment = edited("pkg/b.py", "x = 1", "# y\nx = 1")
    assert reasons(comment) == {}
    assert reasons(comment, says={"test_a": "import inspect\ninspect.getsource(x)"}) == {
        "a": "may look at the text of pkg/b.py, which changed"
    }


def test_lines_that_move_concern_those_that_look_at_their_numbers() -> None:
    says = {"test_a": "assert error.lineno == 3"}
    assert reasons(edited("pkg/b.py", "x = 1", "x = 1  # y"), says=says) == {}
    assert list(reasons(edited("pkg/b.py", "x = 1", "# y\nx = 1"), says=says)) == ["a"]


def test_a_docstring_concerns_nobody_but_those_that_look_at_docstrings() -> None:
    docs = edited("pkg/b.py", "def f():\n 'a'", "def f():\n 'b'")
    assert reasons(docs) == {}
    assert list(reasons(docs, says={"test_a": "pkg.b.f.__doc__", "test_c": "x.__doc__"})) == ["a"]
    assert list(reasons(docs, says={"a": "import click"})) == ["a"]


def test_a_document_concerns_those_that_name_it_or_list_where_it_lies() -> None:
    assert reasons("docs/cli.rst", says={"a": "open('docs/cli.rst')"}) == {
        "a": "pkg/a.py may read docs/cli.rst, which changed"
    }
    assert list(reasons("docs/cli.rst", says={"conftest": "base / f'{name}.rst'"})) == ["a", "b", "c"]
    assert list(reasons("docs/cli.rst", says={"test_c": "Path(__file__).parent.rglob('*')"})) == ["c"]
    assert reasons("docs/cli.rst", says={"a": "os.walk(x)"}) == {}


def test_a_way_over_names_put_together_says_who_does_it() -> None:
    any_graph = replace(graph(), reaching_any=frozenset({"pkg/a.py"}), targets=frozenset({"pkg/far.py"}))
    choice = changed_since(FILES, [edited("pkg/far.py")], any_graph, asked="x")
    assert {item.path: item.reason for item in choice.told.chosen} == {
        "tests/test_a.py": "it reaches pkg/a.py, which may import or start pkg/far.py, which changed"
    }


def test_tests_of_other_kinds_run_with_any_change_that_reaches_a_test() -> None:
    says = {"conftest": "def pytest_collect_file(parent): pass"}
    assert set(reasons("pkg/b.py", says=says)) == set("abc")
    assert reasons("README.md", says=says) == {}


@pytest.mark.parametrize("path", ["pyproject.toml", "requirements-dev.txt", "poetry.lock", "sub/setup.py"])
def test_what_no_import_shows_concerns_all(path: str) -> None:
    assert reasons(path) == dict.fromkeys("abc", f"{path} changed, which may concern every test")


@pytest.mark.parametrize("path", ["README.md", "docs/logo.png", ".github/workflows/ci.yml", "LICENSE", "docs/conf.py"])
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
    first = changed_since(FILES, [edited("pkg/b.py")], graph(), asked="--changed-since x")
    both = only_failed(first.files, {"tests/test_b.py::q"}).told.after(first.told)
    assert both.asked == "--changed-since x --only-failed"
    assert both.chosen[0].reason == "imports pkg/b.py, which changed; 1 of its tests failed before"
    assert set(both.left_out) == {"tests/test_a.py", "tests/test_c.py"}


def test_what_tests_ran_before_counts_beside_what_they_import() -> None:
    ran = {"tests/test_c.py": {"pkg/b.py"}, "tests/test_a.py": {"pkg/b.py"}, "tests/gone.py": {"pkg/b.py"}}
    choice = changed_since(FILES, [edited("pkg/b.py")], graph(), asked="x", ran=ran)
    assert {item.path: item.reason for item in choice.told.chosen} == {
        "tests/test_a.py": "imports pkg/a.py -> pkg/b.py, which changed",
        "tests/test_b.py": "imports pkg/b.py, which changed",
        "tests/test_c.py": "ran lines of pkg/b.py before, which changed",
    }


def test_bodies_of_a_file_that_was_never_seen_to_run_concern_all_that_import_it() -> None:
    """As where tests import an installed copy, whose functions are not those of the sources."""
    change = edited("pkg/b.py", "def f(): return 1", "def f(): return 2")

    def taken(*units: tuple[str, str]) -> set[str]:
        knowledge = Knowledge()
        cases = {f"{file.path}::x": CaseSeen(frozenset()) for file in FILES}
        knowledge.add(Recording(units=units, cases=cases))
        choice = changed_since(FILES, [change], graph(), asked="x", knowledge=knowledge)
        return {file.path for file in choice.files}

    assert taken(("pkg/a.py", "<module>")) == {"tests/test_a.py", "tests/test_b.py"}
    assert taken(("pkg/b.py", "<module>")) == set()

"""Names of files as pytest, services and a shell know them."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.judging.merging import merge
from dt_action.model.build import Build
from dt_action.model.case import Attempt, TestCase, TestResult
from dt_action.model.paths import Paths, paths_of
from dt_action.model.run import Run

folders = st.lists(st.sampled_from(["a", "b", "py", "ü x"]), max_size=3).map(lambda names: "/".join(["/r", *names]))


@given(top=folders, start=folders, root=folders, file=folders)
def test_every_name_leads_to_the_file(top: str, start: str, root: str, file: str) -> None:
    paths = paths_of(top=top, start=start, root=root)
    name = posixpath.relpath(f"{file}/test_x.py", root)  # as pytest names it
    inside = paths.in_repository(name)
    if f"{file}/".startswith(f"{top}/"):
        if not name.startswith("..") or not paths.above:
            assert posixpath.join(top, inside) == f"{file}/test_x.py"
    else:
        assert inside == ""
    seen = paths.from_start(f"{name}::test[a::b]")
    assert seen.endswith("::test[a::b]")
    assert posixpath.normpath(posixpath.join(start, seen.partition("::")[0])) == f"{file}/test_x.py"


@pytest.mark.parametrize("file", ["/abs/test_p.py", "../x.py", "C:/x/test.py", "C:\\x\\test.py", ".."])
def test_what_lies_outside_of_the_repository_has_no_path_in_it(file: str) -> None:
    assert Paths().in_repository(file) == ""


def test_windows_paths_come_out_with_forward_slashes() -> None:
    paths = paths_of(top=r"D:\a\repo\repo", start=r"D:\a\repo\repo\py", root=r"D:\a\repo\repo\py")
    assert paths.in_repository("tests\\test_a.py") == "py/tests/test_a.py"
    assert paths.of_start("pkg\\a.py") == "py/pkg/a.py"


def test_a_test_is_named_where_the_user_stands_without_going_up_and_down_again() -> None:
    paths = paths_of(top="/r", start="/r/py", root="/r")
    assert paths.from_start("py/tests/test_a.py::test") == "tests/test_a.py::test"
    assert paths.from_start("other/test_b.py::test") == "../other/test_b.py::test"


def a_run(id: str, folder: str) -> Run:
    case = TestCase(id="tests/test_a.py::test", file="tests/test_a.py")
    result = TestResult(case=case, attempts=(Attempt(outcome="passed"),))
    paths = paths_of(top="/r", start=f"/r/{folder}", root=f"/r/{folder}")
    return Run(id=id, build=Build(job=folder), results=(result,), uncollected=("tests/test_b.py",), paths=paths)


def test_the_files_of_several_projects_of_one_repository_are_told_apart_when_they_are_merged() -> None:
    merged = merge([a_run("1", "packages/a"), a_run("2", "packages/b")])
    assert [result.case.id for result in merged.results] == [
        "packages/a/tests/test_a.py::test",
        "packages/b/tests/test_a.py::test",
    ]
    assert merged.uncollected == ("packages/a/tests/test_b.py", "packages/b/tests/test_b.py")
    assert merged.paths == Paths()
    same = merge([a_run("1", "packages/a")])
    assert same.results[0].case.id == "tests/test_a.py::test"
    assert same.paths is not None
    assert same.paths.in_repository("tests/test_a.py") == "packages/a/tests/test_a.py"

"""Globs: the user's, and pytest's own."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dt_action.discovery.globs import glob_regex, pytest_matcher, slashes


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("test_*.py", "test_a.py", True),
        ("test_*.py", "deep/er/test_a.py", True),
        ("test_*.py", "my_test_a.py", False),
        ("unit/test_*.py", "unit/test_a.py", True),
        ("unit/test_*.py", "unit/sub/test_a.py", False),
        ("unit/test_*.py", "other/unit/test_a.py", False),
        ("**/test_*.py", "test_a.py", True),
        ("**/test_*.py", "a/b/test_a.py", True),
        ("unit/**", "unit/a/b.py", True),
        ("unit/**/test_*.py", "unit/test_a.py", True),
        ("unit/**/test_*.py", "unit/x/y/test_a.py", True),
        ("./unit/test_?.py", "unit/test_a.py", True),
        ("test_?.py", "test_ab.py", False),
        ("test_[ab].py", "test_b.py", True),
        ("test_[!ab].py", "test_b.py", False),
        ("test_[!ab].py", "test_c.py", True),
        ("test_a.py", "test_axpy", False),
        ("test_[a.py", "test_[a.py", True),
        ("test_[b-a].py", "test_a.py", False),
        ("test_[!b-a].py", "test_a.py", True),
        ("test_[^a].py", "test_^.py", True),
        ("test_[^a].py", "test_b.py", False),
        ("test[!-9]a.py", "test/a.py", False),
        ("tests/größe_*.py", "tests/größe_1.py", True),
        ("test_a.py", "test_a.py\n", False),
    ],
)
def test_a_users_glob_matches_the_path_below_the_test_directory(glob: str, path: str, matches: bool) -> None:
    assert bool(glob_regex(glob).match(path)) is matches


@given(st.text("[]!^ab&*?", max_size=6), st.text("[]!^ab&", min_size=1, max_size=3))
@settings(max_examples=500)
def test_in_one_directory_a_glob_is_that_of_fnmatch(glob: str, name: str) -> None:
    assert bool(glob_regex(glob, "/").match(name)) is fnmatch.fnmatchcase(name, glob)


@given(st.text(max_size=30) | st.text("[]!-ab", max_size=8), st.text(max_size=30))
def test_no_glob_is_an_error(glob: str, path: str) -> None:
    found = glob_regex(glob).match(path)
    assert found is None or found.group() == path


@given(st.lists(st.text(st.characters(blacklist_characters="/*?[]\\\0"), min_size=1), min_size=1, max_size=4))
def test_a_path_without_wildcards_matches_itself(parts: list[str]) -> None:
    path = "./" + "/".join(parts)
    assert glob_regex(path).match(path.removeprefix("./"))


def test_windows_separators_are_slashes_in_a_glob_and_in_a_path() -> None:
    assert glob_regex("unit\\test_*.py", separator="\\").match(slashes("unit\\test_a.py", separator="\\"))


def test_a_backslash_is_part_of_a_name_elsewhere() -> None:
    assert slashes("unit\\test_a.py", separator="/") == "unit\\test_a.py"


@pytest.mark.parametrize(
    ("glob", "name", "path", "matches"),
    [
        ("test_*.py", "test_a.py", "/p/tests/test_a.py", True),
        ("test_*.py", "a.py", "/p/test_x/a.py", False),
        ("tests/*.py", "a.py", "/p/tests/a.py", True),
        ("tests/*.py", "a.py", "/p/tests/deep/a.py", True),
        ("tests/*.py", "a.py", "/p/other/a.py", False),
        ("/p/tests/*.py", "a.py", "/p/tests/a.py", True),
    ],
)
def test_pytests_globs_match_the_name_or_the_end_of_the_path(glob: str, name: str, path: str, matches: bool) -> None:
    assert pytest_matcher([glob], separator="/")(name, path) is matches


def test_pytests_globs_use_backslashes_on_windows() -> None:
    matches = pytest_matcher(["tests/*.py"], separator="\\")
    assert matches("a.py", "C:\\p\\tests\\a.py")
    assert not matches("a.py", "C:\\p\\other\\a.py")


def test_no_globs_match_nothing() -> None:
    assert not pytest_matcher([])("test_a.py", "/p/test_a.py")

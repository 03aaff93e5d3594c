"""CODEOWNERS."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.judging.owners import parse_owners, read_owners

FILE = r"""
# comment
*                   @all
*.js                @js   # trailing
/build/out/         @logs
docs/*              docs@example.com
apps/               @apps @octocat
/scripts/**/x.py    @x
**/logs             @deep
src/name\ with      @space
apps/github
[Section] @section
/sec/a.py
^[Optional][2]
"""


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("a.py", "@all"),
        ("x/y.js", "@js"),
        ("build/out/a/b.txt", "@logs"),
        ("my/build/out/logs/a.txt", "@deep"),
        ("docs/a.md", "docs@example.com"),
        ("docs/sub/a.md", "@all"),
        ("x/apps/a.py", "@apps @octocat"),
        ("apps/github/a.py", ""),
        ("scripts/x.py", "@x"),
        ("scripts/a/b/x.py", "@x"),
        ("a/logs/b", "@deep"),
        ("src/name with/a", "@space"),
        ("sec/a.py", "@section"),
    ],
)
def test_the_last_rule_that_matches_has_the_owners(path: str, owners: str) -> None:
    assert " ".join(parse_owners(FILE).owners_of(path)) == owners


def test_a_project_below_the_top_of_its_repository_is_found_by_its_prefix(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github/CODEOWNERS").write_text("/python/tests/ @py\n")
    owners = read_owners(tmp_path)
    assert [
        (item.path, item.owners)
        for item in owners.of_all({"tests/a.py": "python/tests/a.py", "b.py": "python/b.py", "/x": ""})
    ] == [("tests/a.py", ("@py",))]


def test_no_file_has_no_owners(tmp_path: Path) -> None:
    assert read_owners(tmp_path).owners_of("a.py") == ()


@given(st.text(max_size=200))
def test_any_text_is_a_file_of_rules(text: str) -> None:
    assert all(owner in text for owner in parse_owners(text).owners_of("a/b.py"))

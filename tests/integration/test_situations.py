"""Projects that have gone wrong under tools that run tests in several processes: dt tells what pytest tells."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.side_by_side import Suite, compare, environment_of, packages_of, suites_in

SITUATIONS = Path(__file__).parents[1] / "situations"


def params() -> list[Any]:
    """Every situation; those that are least likely to go wrong again only where time is no matter."""
    return [
        pytest.param(suite, id=suite.name, marks=(pytest.mark.long,) if suite.is_long else ())
        for suite in suites_in(SITUATIONS)
    ]


@pytest.mark.parametrize("suite", params())
@pytest.mark.timeout(300)
def test_dt_tells_of_a_project_what_pytest_tells(suite: Suite, tmp_path: Path) -> None:
    python = environment_of(packages_of(suite))
    result = compare(suite, python=python, dt=[str(Path(sys.executable).parent / "dt")], scratch=tmp_path)
    assert not result.differences, "\n".join([suite.about, *result.differences, result.found.text])


COUNTS = "def pytest_collection_modifyitems(items):\n    assert len(items) == 2, 'this is not all'\n"


@pytest.mark.parametrize("conftest", ["", COUNTS], ids=["nobody counts", "a conftest counts"])
@pytest.mark.timeout(120)
def test_files_are_collected_in_turn_only_where_nobody_could_tell(conftest: str, tmp_path: Path) -> None:
    files = {"test_a.py": "def test_a(): pass", "test_b.py": "def test_b(): pass", "conftest.py": conftest}
    suite = Suite(name="fast path", files=files, dt=["--verbose"])
    python = environment_of(packages_of(suite))
    result = compare(suite, python=python, dt=[str(Path(sys.executable).parent / "dt")], scratch=tmp_path)
    assert not result.differences
    whole = "all tests are collected before the first one runs: conftest.py has pytest_collection_modifyitems"
    assert (whole if conftest else "each file is collected in its turn") in result.found.text

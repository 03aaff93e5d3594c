"""Projects that have gone wrong under tools that run tests in several processes: dt tells what pytest tells."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.side_by_side import Suite, compare, environment_of, packages_of, suites_in

SITUATIONS = Path(__file__).parents[1] / "situations"


@pytest.mark.parametrize("suite", suites_in(SITUATIONS), ids=lambda suite: suite.name)
@pytest.mark.timeout(300)
def test_dt_tells_of_a_project_what_pytest_tells(suite: Suite, tmp_path: Path) -> None:
    python = environment_of(packages_of(suite))
    result = compare(suite, python=python, dt=[str(Path(sys.executable).parent / "dt")], scratch=tmp_path)
    assert not result.differences, "\n".join([suite.about, *result.differences, result.found.text])

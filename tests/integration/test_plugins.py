"""Plugins of pytest under dt: a subset of the matrix that tests/plugins/matrix.py runs as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.side_by_side import Suite, compare, environment_of, packages_of, suites_in

SUITES = Path(__file__).parents[1] / "plugins" / "suites"


@pytest.mark.parametrize("suite", [suite for suite in suites_in(SUITES) if suite.in_ci], ids=lambda suite: suite.name)
@pytest.mark.timeout(600)
def test_a_plugin_tells_under_dt_what_it_tells_under_pytest(suite: Suite, tmp_path: Path) -> None:
    if suite.missing:
        pytest.skip(f"there is no {suite.missing} here")
    try:
        python = environment_of(packages_of(suite))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"its packages cannot be installed here: {error}")
    result = compare(suite, python=python, dt=[str(Path(sys.executable).parent / "dt")], scratch=tmp_path)
    assert not result.differences, "\n".join([*result.differences, result.found.text])

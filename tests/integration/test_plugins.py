"""Plugins of pytest under dt, as tests/plugins/matrix.py runs them; all but a few only where time is no matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.side_by_side import Suite, compare, environment_of, packages_of, suites_in

SUITES = Path(__file__).parents[1] / "plugins" / "suites"


def params() -> list[Any]:
    """Every suite; those that are not for CI are long, since an environment is made for each."""
    return [
        pytest.param(suite, id=suite.name, marks=() if suite.in_ci else (pytest.mark.long,))
        for suite in suites_in(SUITES)
    ]


@pytest.mark.parametrize("suite", params())
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

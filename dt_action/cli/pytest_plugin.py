"""`pytest --dt`: a pytest command as it is, in an IDE, tox or nox, whose tests run in dt's slots. Off by default."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("dt", "Distributed Testing")
    group.addoption("--dt", action="store_true", help="run the tests in several processes, by dt")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Any:
    """Run in the place of pytest's own session; None leaves the run to it."""
    if not config.getoption("dt", default=False) or "_dt_runner" in sys.modules:
        return None
    from dt_action.cli import tell_error, under_pytest

    try:
        return under_pytest.main(config, os.environ)
    except Exception as error:
        return tell_error(error, os.environ)

"""What plugins say of themselves at the start of a session: versions, settings, the seed of a run."""

from __future__ import annotations

from typing import Any, Iterator, List

import pytest

_OF_PYTEST = ("rootdir: ", "configfile: ", "testpaths: ", "plugins: ", "cachedir: ", "using: ")
"""How the lines begin that pytest itself writes there."""


class Heading:
    """Listens for what `pytest_report_header` gives; `text` is that of plugins and conftest files."""

    def __init__(self) -> None:
        self.text = ""

    @pytest.hookimpl(hookwrapper=True)
    def pytest_report_header(self) -> Any:
        """Keep what the others give. Not called where pytest shows no header (`-q`)."""
        outcome = yield
        lines = [line for line in _flat(outcome.get_result()) if not line.startswith(_OF_PYTEST)]
        self.text = "\n".join(reversed(lines))


def _flat(given: List[Any]) -> Iterator[str]:
    for value in given:
        if isinstance(value, str):
            yield value
        else:
            yield from reversed([str(line) for line in value])

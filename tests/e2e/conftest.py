"""Fixtures of the end-to-end tests: GitHub's double, and the real clients where they are installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from github_double import GitHubDouble, serving

TOOLS = Path(os.environ.get("DT_E2E_TOOLS") or Path.home() / ".cache" / "dt-e2e")
os.environ["PATH"] = f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def github() -> Iterator[GitHubDouble]:
    """GitHub's API over HTTP; the test fails where a request or an answer broke the official description."""
    with serving(GitHubDouble()) as double:
        yield double
    assert double.violations == []


@pytest.fixture(scope="session")
def client() -> Callable[[str], str]:
    """The path of a real client by its name; skips where it is absent."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed; tests/e2e/setup.sh installs it")
        return path

    return find

"""Fixtures of the fault tests: a made-up project with a file of good tests in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_here import image_with_pytest
from project_on_disk import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that has one file of twenty good tests."""
    root = tmp_path / "project"
    root.mkdir()
    made = Project(root)
    made.write("test_good.py", "import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_good(n):\n    pass\n")
    return made


@pytest.fixture
def good() -> dict[str, str]:
    """The outcomes of the good tests."""
    return {f"test_good.py::test_good[{n}]": "passed" for n in range(20)}


@pytest.fixture(scope="session")
def image() -> str:
    """An image with pytest in it, of the container engine here."""
    return image_with_pytest()

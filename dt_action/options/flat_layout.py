"""Whether setuptools would take a directory beside a project's packages for another one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

HYPHENATED = "test-reports"
"""No package can have this name."""

_NO_PACKAGES = frozenset(
    (
        *("ci", "bin", "debian", "doc", "docs", "documentation", "manpages", "news", "newsfragments", "changelog"),
        *("test", "tests", "unit_test", "unit_tests", "example", "examples", "scripts", "tools", "util", "utils"),
        *("python", "build", "benchmark", "benchmarks", "exercise", "exercises", "htmlcov", "test_reports"),
    )
)
"""What setuptools leaves out by name (setuptools.discovery.FlatLayoutPackageFinder), and our own reports."""

_CHOSEN = re.compile(
    r"^\s*\[tool\.setuptools(\.packages[.\]]|\.package-dir\])|^\s*(packages|py-modules|package-dir)\s*=", re.MULTILINE
)
_OTHER_BACKEND = re.compile(r"^\s*build-backend\s*=\s*[\"'](?!setuptools)", re.MULTILINE)
_BUILT = re.compile(r"^\[(project|build-system)\]", re.MULTILINE)


def is_scanned_for_packages(root: Path) -> bool:
    """
    True where setuptools finds the packages of the project at `root` by looking at its directories.

    It then refuses a project with two that have a package's name ("Multiple top-level packages discovered"), whether
    they hold Python or not: https://setuptools.pypa.io/en/latest/userguide/package_discovery.html#flat-layout
    """
    pyproject, program, config = (_text(root / name) for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    if not (program or "[metadata]" in config or _BUILT.search(pyproject)) or _OTHER_BACKEND.search(pyproject):
        return False
    if _CHOSEN.search(pyproject) or re.search(r"\b(packages|py_modules|package_dir)\s*=", program + config):
        return False
    return not (root / "src").is_dir() and any(_packages(root))


def _packages(root: Path) -> Iterator[str]:
    try:
        for path in root.iterdir():
            if path.name.isidentifier() and path.name not in _NO_PACKAGES and path.is_dir():
                yield path.name
    except OSError:
        return


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

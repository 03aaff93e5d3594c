"""A test that fails and writes what it missed would pass the next time: what it left is seen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dt_action.runner.new_files import NewFiles

BEFORE, SINCE = 1_000_000_000, 1_000_001_000.0


def aged(top: Path) -> None:
    """Everything below is old, as far as a folder can tell."""
    for folder, _, names in os.walk(top):
        for path in (*(Path(folder) / name for name in names), Path(folder)):
            os.utime(path, (BEFORE, BEFORE))


@pytest.mark.parametrize(
    ("made", "is_seen"),
    [
        ("tests/unit/test_a/snapshot.yml", True),
        ("tests/unit/test_a.out", True),
        ("marker.txt", True),
        (".pytest_cache/v/lastfailed", False),
        ("tests/unit/__pycache__/test_a.pyc", False),
        ("src/elsewhere.txt", False),
        ("", False),
    ],
)
def test_new_files_beside_a_test_and_at_the_root_are_seen(made: str, is_seen: bool, tmp_path: Path) -> None:
    for name in ("tests/unit/test_a.py", "src/lib.py", ".pytest_cache/README", "tests/unit/__pycache__/x.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    aged(tmp_path)
    if made:
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    new_files = NewFiles(str(tmp_path), str(tmp_path))
    assert new_files.left_by(str(tmp_path / "tests/unit/test_a.py"), SINCE) is is_seen


def test_what_is_gone_or_nowhere_is_not_new(tmp_path: Path) -> None:
    assert not NewFiles(str(tmp_path / "gone")).left_by(str(tmp_path / "gone" / "test_a.py"), SINCE)

"""What a change can reach, in ways that no import statement shows: never one test too few."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from selection_situations import SITUATIONS, Situation

from dt_action.app.memory import Memory
from dt_action.discovery import discover
from dt_action.model.build import Build
from dt_action.options import Settings
from dt_action.planning.choice import Choice

ENVIRON = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("DT_", "PYTEST_X", "PYTEST_C", "PYTEST_V", "GITHUB", "CI"))
}


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=root, check=True, capture_output=True)


def write(root: Path, files: dict[str, str | None]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        elif text.startswith("->"):
            path.symlink_to(text[2:])
        else:
            path.write_text(text)


def lay(situation: Situation, root: Path) -> None:
    write(root, {".gitignore": "__pycache__/\n.dt_cache/\n", **situation.files})
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "before")


def chosen(root: Path) -> Choice:
    settings = Settings(root=root, changed_since="HEAD")
    files = discover(settings, {})
    choice = Memory(settings, Build).chosen(files, files)
    assert choice is not None
    return choice


def failing(root: Path) -> set[str]:
    """The files of the tests that fail under plain pytest, or that it cannot collect."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=result.xml"]
    command += ["-o", "junit_family=xunit1"]
    environ = {**ENVIRON, "PYTHONPATH": ".", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    result = root / "result.xml"
    if not result.exists():  # pytest itself did not start
        assert done.returncode, done.stdout
        return {"every"}
    cases = ElementTree.parse(result).getroot().iter("testcase")
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    result.unlink()
    return {case.get("file") or case.get("classname", "").replace(".", "/") + ".py" for case in bad} - {".py"} | {
        case.get("name", "").replace(".", "/") + ".py" for case in bad if not case.get("file")
    }


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_no_test_that_fails_is_left_out(situation: Situation, tmp_path: Path) -> None:
    lay(situation, tmp_path)
    root = tmp_path / situation.at
    write(tmp_path, situation.change)
    choice = chosen(root)
    taken = {item.path for item in choice.told.chosen}
    assert taken.issuperset(situation.must), choice.told
    assert not taken.intersection(situation.leaves), choice.told


@pytest.mark.long
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.name)
def test_what_must_run_in_a_situation_is_what_fails_under_plain_pytest(situation: Situation, tmp_path: Path) -> None:
    write(tmp_path, {**situation.files, **situation.change})
    told = failing(tmp_path / situation.at)
    assert told, "the change is to make a test fail"
    assert told == {"every"} or told <= set(situation.must)

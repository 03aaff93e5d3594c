"""The workflows that docs/github.md prints: checked and run as they are, with only where `org/` is replaced."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from act_rig import Act, act, hub
from documented import workflows
from github_double import GitHubDouble
from publications import pull_request_event

__all__ = ["act", "hub"]

ROOT = Path(__file__).parent.parent.parent


def written(folder: Path) -> list[Path]:
    """The documented workflows as files."""
    paths = []
    for number, text in enumerate(workflows("github.md")):
        path = folder / ".github" / "workflows" / f"{number}.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths.append(path)
    return paths


def test_actionlint_and_zizmor_find_nothing_in_what_is_to_be_copied(
    client: Callable[[str], str], tmp_path: Path
) -> None:
    paths = written(tmp_path)
    assert len(paths) == 4
    linted = subprocess.run([client("actionlint"), *paths], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert linted.stdout == ""
    config = ROOT / ".github" / "zizmor.yml"  # that `org/distributed-testing@v1` is asked for by its major version
    command = [client("zizmor"), "--offline", "--config", str(config), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.long) for number in (1, 2))])
def test_a_documented_workflow_runs_and_remembers_a_red_run(number: int, act: Act, hub: GitHubDouble) -> None:
    text = workflows("github.md")[number]
    act.commit("tests.yml", text)
    words = ("-e", str(pull_request_event(act.shared, head=act.head)), "-W", ".github/workflows/tests.yml")
    done = act.run("pull_request", *words, "-P", "windows-latest=-self-hosted")
    log = done.stdout + done.stderr
    assert done.returncode == 1, log[-3000:]
    assert "1 passed, 1 failed, 0 skipped" in log
    assert list((act.artifacts.parent / "caches").glob("*/.dt_cache/history/*.json"))
    assert len(hub.repository.comments) == 1
    if number < 2:
        assert list(act.artifacts.glob("test-report/test_report_*.html"))

"""What a release does to a checkout, and what it refuses."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_names", ROOT / "tools" / "release_names.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


names = tool()


def test_nothing_that_a_release_publishes_is_left_with_the_name_of_nobody() -> None:
    found = {}
    for path in names.files(ROOT):
        text = names.renamed(path.read_text(encoding="utf-8", errors="replace"), "Acme/dt.fork", "ghcr.io")
        found[str(path.relative_to(ROOT))] = names.left(text)
    assert {path: lines for path, lines in found.items() if lines} == {}
    assert {"action.yml", ".github/workflows/distributed-testing.yml", "gitlab/distributed-testing.yml"} <= found.keys()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("uses: org/distributed-testing@v1", "uses: Acme/dt.fork@v1"),
        ("uses: org/distributed-testing/composite@v1", "uses: Acme/dt.fork/composite@v1"),
        ("image: ghcr.io/org/distributed-testing:v1", "image: quay.io/acme/dt.fork:v1"),
        (
            "$CI_SERVER_FQDN/org/distributed-testing/distributed-testing@1",
            "$CI_SERVER_FQDN/Acme/dt.fork/distributed-testing@1",
        ),
        ("my-org/distributed-testing", "my-org/distributed-testing"),
        ("https://example.org/distributed-testing", "https://example.org/distributed-testing"),
        ("org/distributed-testing-plugins", "org/distributed-testing-plugins"),
    ],
)
def test_the_name_is_replaced_as_a_whole_and_nowhere_else(before: str, after: str) -> None:
    assert names.renamed(before, "Acme/dt.fork", "quay.io") == after


def test_what_is_left_is_told() -> None:
    assert names.left("a\nuses: org/other@v1\nsrc/org/distributedtesting/X.groovy\nexample.org/x") == [
        "uses: org/other@v1"
    ]


@pytest.mark.parametrize("repository", ["", "acme", "acme/", "a/b/c", "a/b; rm -rf /", "../x"])
def test_a_name_that_is_no_repository_is_refused(repository: str) -> None:
    with pytest.raises(SystemExit):
        names.main(["--repository", repository])


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ("completed success", 0, ""),
        ("completed failure", 1, "CI is red on abc (failure)"),
        ("completed cancelled", 1, "CI is red on abc (cancelled)"),
        ("in_progress null", 1, "CI is under way"),
        ("null null", 1, "CI did not run"),
    ],
)
def test_a_commit_is_released_only_where_ci_passed_on_it(answer: str, code: int, says: str, tmp_path: Path) -> None:
    gh = tmp_path / "gh"
    gh.write_text(f"#!/bin/sh\necho '{answer}'\n")
    gh.chmod(0o755)
    environ = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "REPOSITORY": "o/r", "REVISION": "abc"}
    script = ROOT / ".github" / "release" / "ci-was-green.sh"
    done = subprocess.run([str(script)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert says in done.stderr

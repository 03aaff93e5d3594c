"""The files that CI services read: their schemas, their style and their security, by the tools of the field."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def complaints(*command: str) -> str:
    """What a checker says of the files that it is given; nothing where it ends with 0."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    return f"exit {done.returncode}: {done.stdout}{done.stderr}" if done.returncode else ""


def test_actionlint_finds_nothing_in_the_workflows(client: Callable[[str], str]) -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert complaints(client("actionlint"), *map(str, workflows)) == ""


def test_zizmor_finds_nothing_to_attack(client: Callable[[str], str]) -> None:
    assert complaints(client("zizmor"), "--offline", ".github", "action.yml", "composite") == ""


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-actions", ["action.yml", "composite/action.yml"]),
        ("vendor.github-workflows", [".github/workflows/*.yml"]),
        ("vendor.gitlab-ci", ["gitlab/distributed-testing.yml", "gitlab/examples/*.yml"]),
    ],
)
def test_files_are_what_their_schema_says(client: Callable[[str], str], schema: str, files: list[str]) -> None:
    paths = [str(path) for pattern in files for path in sorted(ROOT.glob(pattern))]
    assert paths
    assert complaints(client("check-jsonschema"), "--builtin-schema", schema, *paths) == ""


def test_a_release_pins_the_action_to_the_image_and_moves_the_major_tag(tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote.git", tmp_path / "clone"
    environ = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "VERSION": "v1.2.3",
        "IMAGE": "ghcr.io/org/distributed-testing@sha256:" + "a" * 64,
        "REPOSITORY": "org/distributed-testing",
        "TOKEN": "unused",
        "REMOTE": str(remote),
    }

    def git(*words: str, cwd: Path = clone) -> str:
        done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True, env=environ)
        return done.stdout

    git("init", "-q", "--bare", str(remote), cwd=tmp_path)
    git("init", "-q", "-b", "main", str(clone), cwd=tmp_path)
    (clone / "action.yml").write_text((ROOT / "action.yml").read_text())
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "one")
    script = ROOT / ".github" / "release" / "pin-and-tag.sh"
    done = subprocess.run([str(script)], cwd=clone, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    for tag in ("v1", "v1.2.3"):
        assert f"image: docker://{environ['IMAGE']}" in git("show", f"{tag}:action.yml", cwd=remote)

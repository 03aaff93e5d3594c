"""Runs workflows as GitHub would: by `act`, against the double of GitHub's API."""

from __future__ import annotations

import os
import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent

import pytest
from github_double import GitHubDouble, serving

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "distributed-testing.yml"
SECRET = "hunter2-and-some-more"


@pytest.fixture
def hub(engine: str) -> Iterator[GitHubDouble]:
    """The double, where containers find it."""
    with serving(GitHubDouble(), host="0.0.0.0") as double:
        double.url = double.url.replace("0.0.0.0", engine)
        yield double
    assert double.violations == []


class Act:
    """Runs workflows of a project. `shared` is a folder that containers see, too."""

    def __init__(self, program: str, project: Path, export: Path, double: GitHubDouble, artifacts: Path) -> None:
        self.program, self.project, self.export, self.double = program, project, export, double
        self.artifacts = artifacts
        self.shared = artifacts.parent / "shared"
        self.shared.mkdir()
        self.secrets: dict[str, str] = {}
        self.blocks = "".join(path.read_text() for path in (WORKFLOW, *(ROOT / "docs").glob("*.md")))

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        command = ["git", "rev-parse", "HEAD"]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, check=True).stdout.strip()

    def run(
        self, event: str, *words: str, token: str = "ghs_write", attempt: int = 1
    ) -> subprocess.CompletedProcess[str]:
        cache = Path.home() / ".cache" / "act"
        pinned = set(
            re.findall(r"uses: (actions/(?:upload-artifact|download-artifact|cache|setup-python)\S*@\w+)", self.blocks)
        )
        local = [f"org/distributed-testing@v1={self.export}"]
        for use in pinned:
            name, _, commit = use.partition("@")
            owner, repository, *_ = name.split("/")
            local.append(f"{owner}/{repository}@{commit}={HERE / 'actions' / repository}")
        command = [
            *(self.program, event, "-P", "ubuntu-latest=-self-hosted", "--pull=false"),
            *("--env", f"GITHUB_API_URL={self.double.url}", "--env", f"DT_E2E_ARTIFACTS={self.artifacts}"),
            *("-s", f"GITHUB_TOKEN={token}", "-s", f"LEAK={SECRET}"),
            *("--env", f"GITHUB_RUN_ATTEMPT={attempt}"),
            *("--container-options", f"-v {cache}:{cache} -v {self.shared}:{self.shared}"),
            *(word for use in sorted(local) for word in ("--local-repository", use)),
            *(word for name, value in self.secrets.items() for word in ("-s", f"{name}={value}")),
            *words,
        ]
        return subprocess.run(
            command, cwd=self.project, capture_output=True, text=True, check=False, timeout=500, env=dict(os.environ)
        )

    def commit(self, name: str, text: str) -> None:
        path = self.project / ".github" / "workflows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.named(text))
        for command in ("add -A", f"commit -q -m {name}"):
            subprocess.run(["git", *command.split()], cwd=self.project, check=True)

    def named(self, text: str) -> str:
        """
        A workflow with a name that no other test's has.

        act names containers after workflow, job and step, and first removes one that is there: of two tests at once
        with the same names each would kill the other's.
        """
        own = zlib.crc32(bytes(self.project))
        text, count = re.subn(r"(?m)^name: (.*)$", rf"name: \1 {own}", dedent(text))
        return text if count else f"name: Tests {own}\n{text}"

    def push(self, steps: str) -> tuple[int, str]:
        """Push a workflow whose one job checks the project out and takes these steps: its exit code and log."""
        job = "on: [push]\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n"
        self.commit("tests.yml", job + indent(dedent(steps), " " * 6))
        done = self.run("push", "-W", ".github/workflows/tests.yml")
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def act(
    client: Callable[[str], str], image: str, project: Path, export: Path, hub: GitHubDouble, tmp_path: Path
) -> Act:
    return Act(client("act"), project, export, hub, tmp_path / "artifacts")

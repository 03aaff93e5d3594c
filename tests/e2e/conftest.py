"""Fixtures of the end-to-end tests: GitHub's double, and the real clients where they are installed."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from github_double import GitHubDouble, serving

ROOT = Path(__file__).parent.parent.parent
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


@pytest.fixture(scope="session")
def engine() -> str:
    """The address at which a container finds this machine; skips where there is no Docker Engine."""
    found = (
        subprocess.run(["docker", "network", "inspect", "bridge"], capture_output=True, text=True, check=False)
        if shutil.which("docker")
        else None
    )
    if found is None or found.returncode != 0:
        pytest.skip("there is no Docker Engine; tests/e2e/setup.sh starts one")
    config = json.loads(found.stdout)[0]["IPAM"]["Config"][0]
    return config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a release would hold it: what git tracks or would track."""
    target = tmp_path_factory.mktemp("export")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="session")
def image(engine: str, export: Path) -> str:
    """The image, built from this checkout; skips where its base image cannot be had."""
    base = subprocess.run(["docker", "image", "inspect", "python:3.13-slim"], capture_output=True, check=False)
    if base.returncode != 0:
        pytest.skip("the base image python:3.13-slim is not here; tests/e2e/setup.sh gets or makes one")
    name = "ghcr.io/org/distributed-testing:v1"
    subprocess.run(["docker", "build", "-q", "-t", name, str(export)], check=True, capture_output=True)
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with a git history: one test passes, one of another type fails and prints something hostile."""
    root = tmp_path / "app"
    files = {
        "requirements.txt": "pytest\n",
        "tests/integration/test_ok.py": "def test_ok():\n    assert True\n",
        "tests/stress/test_bad.py": "import os\n\n\ndef test_bad():\n    print('::error::injected')\n"
        "    print('::set-output name=conclusion::passed')\n    print(os.environ.get('LEAK', 'nothing'))\n"
        "    assert 1 == 2\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for command in (
        "init -q -b main",
        "config user.email a@example.org",
        "config user.name a",
        "remote add origin git@gitlab.com:team/app.git",
        "add -A",
        "commit -q -m first",
    ):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    return root

"""The image as people run it: `docker run` on a project of their own."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest


def docker_run(
    image: str, project: Path, *words: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    mounts = ("-v", f"{project}:/work", "-w", "/work")
    command = ["docker", "run", "--rm", *mounts, *options, image, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_project_with_its_own_requirements_runs_without_a_word_about_them(image: str, project: Path) -> None:
    (project / "requirements.txt").write_text("pytest\nsix\n")
    (project / "tests" / "test_six.py").write_text("import six\n\n\ndef test_six():\n    assert six.PY3\n")
    done = docker_run(image, project, "run", "--test-dir", "tests")
    assert done.stdout.rstrip().endswith("2 passed, 1 failed, 0 skipped"), done.stdout + done.stderr
    assert done.returncode == 1


def test_uv_installs_and_what_it_fetched_stays_in_the_project_for_a_ci_service_to_keep(
    image: str, project: Path
) -> None:
    (project / "requirements.txt").write_text("six\n")
    done = docker_run(image, project, "run", "--test-dir", "tests/integration", "--setup", "uv --version")
    assert "1 passed, 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr
    assert list((project / ".dt_cache" / "packages").glob("wheels-*/**/six*"))
    (project / "requirements.txt").write_text("six\n# another environment, of the same packages\n")
    offline = ("--network", "none", "-e", "UV_OFFLINE=1")
    again = docker_run(image, project, "run", "--test-dir", "tests/integration", options=offline)
    assert "1 passed, 0 failed, 0 skipped" in again.stdout, again.stdout + again.stderr


def test_the_projects_own_configuration_outranks_the_images_defaults(image: str, project: Path) -> None:
    (project / "requirements.txt").write_text("no-such-package-of-anybody\n")
    (project / "other.txt").write_text("six\n")
    (project / "dt.yml").write_text("requirements: other.txt\ntest-dir: tests/integration\n")
    done = docker_run(image, project, "run")
    assert "1 passed, 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr


def test_a_project_for_an_older_python_is_told_which_ones_fit(image: str, project: Path) -> None:
    (project / "pyproject.toml").write_text('[project]\nname = "shop"\nversion = "1"\nrequires-python = "<3.12"\n')
    done = docker_run(image, project, "run", options=("-e", "UV_OFFLINE=1"))
    assert done.returncode == 4
    assert "the project asks for Python <3.12" in done.stderr
    assert "name one that fits with --python (3.11, 3.10, 3.9)" in done.stderr


def test_a_stranger_of_a_user_can_run_it(image: str, project: Path) -> None:
    subprocess.run(["chmod", "-R", "a+rwX", str(project)], check=True)
    done = docker_run(image, project, "run", "--test-dir", "tests/integration", options=("--user", "4321:4321"))
    assert "1 passed, 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr
    report = next((project / "test_reports").glob("*.json"))
    assert report.stat().st_uid == 4321


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give the project another owner")
def test_what_root_made_in_the_container_belongs_to_the_projects_owner(image: str, project: Path) -> None:
    for path in (project, *project.rglob("*")):
        os.chown(path, 4321, 4321)
    docker_run(image, project, "run", "--test-dir", "tests/integration")
    owners = {path.stat().st_uid for path in (project / "test_reports").rglob("*")}
    assert owners == {4321}


def test_help_comes_in_two_seconds(image: str, tmp_path: Path) -> None:
    docker_run(image, tmp_path, "--help")
    started = time.monotonic()
    done = docker_run(image, tmp_path, "--help")
    took_s = time.monotonic() - started
    assert done.stdout.startswith("Run a Python project's tests")
    assert took_s < 5, f"took {took_s:.1f} s"


def test_the_image_adds_less_than_300_mebibytes_to_its_base(image: str) -> None:
    sizes = [
        int(
            subprocess.run(
                ["docker", "image", "inspect", "-f", "{{.Size}}", name], capture_output=True, check=True
            ).stdout
        )
        for name in (image, "python:3.13-slim")
    ]
    assert sizes[0] - sizes[1] < 300 << 20


def test_its_labels_and_its_health_check_are_there(image: str) -> None:
    shown = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=True)
    config = json.loads(shown.stdout)[0]["Config"]
    assert config["Labels"]["org.opencontainers.image.title"] == "Distributed Testing"
    assert config["Healthcheck"]["Test"][-1] == "/opt/dt/healthcheck.py"
    assert config["Entrypoint"][0] == "/opt/dt/bin/python"


def test_a_coordinator_in_it_says_that_it_is_well(image: str) -> None:
    words = ("coordinator", "--host", "0.0.0.0", "--allow-insecure-http", "--data", "/tmp/data")
    started = subprocess.run(["docker", "run", "-d", image, *words], capture_output=True, text=True, check=True)
    container = started.stdout.strip()
    ask = ["docker", "exec", container, "/opt/dt/bin/python", "/opt/dt/healthcheck.py"]
    try:
        deadline = time.monotonic() + 60
        while True:
            asked = subprocess.run(ask, capture_output=True, text=True, check=False)
            if asked.returncode == 0 or time.monotonic() > deadline:
                break
            assert "refused" in asked.stdout, asked.stdout + asked.stderr  # not up yet
        assert asked.returncode == 0, asked.stdout
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True, check=False)


def test_inputs_with_hyphens_reach_the_action(image: str, project: Path) -> None:
    """GitHub's runner keeps the hyphens of an input's name, which no shell passes on."""
    environment = ("-e", "GITHUB_ACTIONS=true", "-e", "INPUT_TEST-DIR=tests/integration")
    done = docker_run(image, project, options=environment)
    assert "1 passed, 0 failed, 0 skipped" in done.stdout, done.stdout + done.stderr


def test_no_compiler_and_no_cache_are_left(image: str, tmp_path: Path) -> None:
    look = "command -v gcc cc make; find / -xdev -name '*.deb' -o -xdev -path '*/.cache/*' -type f | head -3"
    done = subprocess.run(
        ["docker", "run", "--rm", "--entrypoint", "sh", image, "-c", look], capture_output=True, text=True, check=False
    )
    assert done.stdout == ""

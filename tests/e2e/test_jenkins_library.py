"""The Jenkins library under the Groovy that Jenkins has, with real containers, and its style."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

JENKINS = Path(__file__).parent.parent.parent / "jenkins"


@pytest.fixture
def java_home() -> str:
    """A JDK that Groovy 2.4 still runs on: 8 to 17."""
    given = os.environ.get("DT_E2E_JAVA_HOME")
    found = [Path(given)] if given else sorted(Path("/usr/lib/jvm").glob("*-1[17]-*"))
    if not found:
        pytest.skip("there is no JDK 11 or 17 in /usr/lib/jvm; set DT_E2E_JAVA_HOME")
    return str(found[-1])


def groovy(program: str, java_home: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = f"{JENKINS / 'src'}{os.pathsep}{JENKINS / 'test'}"
    command = [program, "-cp", path, str(JENKINS / "test" / "run.groovy"), *words]
    environ = {**os.environ, "JAVA_HOME": java_home}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, env=environ)


def test_every_documented_way_to_call_it(client: Callable[[str], str], java_home: str) -> None:
    done = groovy(client("groovy"), java_home)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("15 passed, 0 failed")


def test_the_examples_run_dt_in_real_containers(client: Callable[[str], str], java_home: str, image: str) -> None:
    done = groovy(client("groovy"), java_home, image)
    assert done.returncode == 0, done.stdout
    assert done.stdout.rstrip().endswith("17 passed, 0 failed")


def test_its_style(client: Callable[[str], str], java_home: str) -> None:
    command = [client("npm-groovy-lint"), "--config", ".groovylintrc.json", "--files", "**/*.groovy"]
    java = shutil.which("java") or f"{java_home}/bin/java"
    done = subprocess.run(
        [*command, "--no-parse", "--noserver", "--failon", "warning", "--javaexecutable", java],
        cwd=JENKINS,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:]

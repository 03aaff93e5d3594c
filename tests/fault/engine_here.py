"""The container engine of this machine as tests see it: by its command, beside what dt makes of it."""

from __future__ import annotations

import os
import subprocess

import pytest

BASE = os.environ.get("DT_TEST_BASE_IMAGE", "python:3.13-slim")
IMAGE = "dt-test-pytest:2"


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False)


def containers() -> set[str]:
    """The containers that dt made, running or not."""
    return set(docker("ps", "-aq", "--filter", "label=dt.owner").stdout.split())


def image_with_pytest() -> str:
    """An image with pytest. Skips where there is no engine, or where the image cannot be built."""
    try:
        if docker("image", "inspect", IMAGE).returncode == 0:
            return IMAGE
    except FileNotFoundError:
        pytest.skip("no container engine here")
    recipe = f"FROM {BASE}\nRUN pip install --no-cache-dir pytest coverage\n"
    built = subprocess.run(
        ["docker", "build", "-t", IMAGE, "-"], input=recipe, capture_output=True, text=True, check=False
    )
    if built.returncode:
        pytest.skip(f"the image cannot be built: {built.stderr[-300:]}")
    return IMAGE

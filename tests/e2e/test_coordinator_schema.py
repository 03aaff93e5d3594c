"""Whatever the interface's own description allows, and what it does not: no request makes the coordinator fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

from coordinator_server import Server, Tenants

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or ""

HOOKS = """
import schemathesis

@schemathesis.check
def refusals_are_small(ctx, response, case):
    if response.status_code >= 400:
        assert len(response.content) <= 1024, f"{response.status_code} with {len(response.content)} bytes"
"""


@pytest.fixture(scope="module")
def tenants(tmp_path_factory):
    coordinator = Server(tmp_path_factory.mktemp("schema") / "data")
    yield Tenants(coordinator)
    coordinator.stop()


KINDS = [pytest.param(kind, marks=() if kind == "owner" else pytest.mark.long) for kind in Tenants.KINDS]


@pytest.mark.skipif(not SCHEMATHESIS, reason="schemathesis is not installed")
@pytest.mark.parametrize("kind", KINDS)
def test_no_request_makes_it_fail(tenants, tmp_path, kind):
    (tmp_path / "hooks.py").write_text(HOOKS)
    credential = tenants.credentials[kind]
    done = subprocess.run(
        [
            SCHEMATHESIS,
            "run",
            f"{tenants.coordinator.url}/openapi.json",
            *(["--header", f"Authorization: Bearer {credential}"] if credential else []),
            *("--checks", "not_a_server_error,refusals_are_small"),
            *("--phases", "coverage,fuzzing"),
            *("--max-examples", "10"),
            *("--exclude-path-regex", "/events$|/steer/"),  # streams that do not end; the worker is to stay
            *("--request-timeout", "20"),
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        cwd=tmp_path,
    )
    assert tenants.coordinator.is_well()
    assert done.returncode == 0, done.stdout[-4000:]

"""Whatever the interface's own description allows, and what it does not: no request makes the coordinator fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra `coordinator` is not installed")

from test_coordinator_intruders import Server

from dt_action.coordinator.oidc import Oidc

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or ""


@pytest.mark.skipif(not SCHEMATHESIS, reason="schemathesis is not installed")
def test_no_request_makes_it_fail(tmp_path, monkeypatch):
    from dt_action.coordinator import protection

    monkeypatch.setattr(protection, "MOST_FAILURES", 10**9)
    monkeypatch.setattr(protection, "MOST_FAILURES_OF_ALL", 10**9)
    coordinator = Server(tmp_path / "data", Oidc([]))
    try:
        done = subprocess.run(
            [
                SCHEMATHESIS,
                "run",
                f"{coordinator.url}/openapi.json",
                "--header",
                f"Authorization: Bearer {coordinator.key('submit', 'read', 'admin')}",
                "--checks",
                "not_a_server_error",
                "--max-examples",
                "30",
                "--exclude-path-regex",
                "/events$",  # streams that do not end
                "--request-timeout",
                "20",
            ],
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
            cwd=tmp_path,
        )
        assert coordinator.is_well()
    finally:
        coordinator.stop()
    assert done.returncode == 0, done.stdout[-4000:]

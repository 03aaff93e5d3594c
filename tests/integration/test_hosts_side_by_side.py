"""Several hosts on one machine, as a worker's leases have them: ending one ends nothing of the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dt_action.hosts.process import Died, Heard, Host, Session


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the marks of processes")
def test_closing_a_host_spares_the_processes_of_one_whose_mark_begins_alike(tmp_path: Path) -> None:
    (tmp_path / "test_good.py").write_text("def test(): pass\n")

    def host(slot: str) -> Host:
        session = Session(
            root=tmp_path, python=sys.executable, args=(), slots=1, environ=dict(os.environ), mark=f"run-{slot}"
        )
        made = Host(session)
        made.start(slot)
        return made

    first, tenth = host("gw1"), host("gw10")
    try:
        first.close()
        told = [*tenth.poll(30.0)]
        assert not [one for one in told if isinstance(one, Died)]
        assert isinstance(told[0], Heard)
        assert tenth.slots == ("gw10",)
    finally:
        tenth.close()

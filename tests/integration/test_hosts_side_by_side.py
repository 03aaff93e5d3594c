"""Several hosts on one machine, as a worker's leases have them: ending one ends nothing of the others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dt_action.hosts.process import Host
from dt_action.hosts.session import Session
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import Died


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the marks of processes")
def test_closing_a_host_spares_the_processes_of_one_whose_mark_begins_alike(tmp_path: Path) -> None:
    (tmp_path / "test_good.py").write_text("def test(): pass\n")

    def host(slot: str) -> Host:
        session = Session(
            root=tmp_path,
            python=sys.executable,
            start=PytestStart(run="run"),
            environ=dict(os.environ),
            mark=f"run-{slot}",
        )
        made = Host(session)
        made.start(slot)
        return made

    first, tenth = host("gw1"), host("gw10")
    try:
        first.close()
        told = [*tenth.poll(30.0)]
        assert told and not [one for one in told if isinstance(one.message, Died)]
        assert tenth.slots == ("gw10",)
    finally:
        tenth.close()

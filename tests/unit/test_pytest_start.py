"""How pytest is started: whatever is asked for reaches the process, over every wire."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dt_action.hosts.session import Session
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Plan
from dt_action.model.pytest_start import PREPARED, PytestStart
from dt_action.remote import wire

STARTS = st.builds(PytestStart, isolation=st.sampled_from(["session", "file", "container"]))


@given(STARTS)
def test_every_attribute_of_a_submission_arrives_with_a_lease(start: PytestStart) -> None:
    submission = wire.Submission(nonce="n", bundle="b", plan=Plan(files=()), start=start)
    sent = from_jsonable(wire.Submission, json.loads(json.dumps(to_jsonable(submission))), source="a test")
    lease = wire.Lease(id="l", token="t", slot="gw0", bundle="b", start=sent.start)
    assert from_jsonable(wire.Lease, json.loads(json.dumps(to_jsonable(lease))), source="a test").start == start


@given(STARTS)
def test_every_attribute_but_what_was_prepared_is_told_to_the_process(start: PytestStart) -> None:
    session = Session(root=Path(), python="python", start=start, environ={}, data_file=Path("data"))
    config = json.loads(session.config("gw0", channel=3, basetemp="b", rewritten=""))
    for item in fields(start):
        if item.name in PREPARED:
            assert item.name not in config, "a setup command may hold secrets"
        else:
            value = getattr(start, item.name)
            assert config[item.name] == (list(value) if isinstance(value, tuple) else value)
    assert bool(config["measure"]) == start.measures

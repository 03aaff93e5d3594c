"""Labels in marks: a test runs only on workers that have all of them."""

from __future__ import annotations

import pytest

from dt_action.analysis.codec import decode_requirement, encode_requirement
from dt_action.analysis.explicit import read_fields
from dt_action.model.hardware import Capability, Evidence

EVIDENCE = Evidence(file="test_a.py", line=1, rule="dt-mark")


@pytest.mark.parametrize(
    ("said", "labels", "reason"),
    [
        ("lab-berlin", {"lab-berlin", "x86_64"}, ""),
        ("lab-berlin, avx512f", {"lab-berlin"}, "needs the label avx512f, has lab-berlin"),
        (["lab-berlin"], set(), "needs the label lab-berlin, has none"),
    ],
)
def test_a_worker_must_have_every_label(said: object, labels: set[str], reason: str) -> None:
    requirement, speaks_of_devices = read_fields({"labels": said}, EVIDENCE)
    assert not requirement.needs_nothing
    assert not speaks_of_devices
    assert decode_requirement(encode_requirement(requirement)) == requirement
    assert Capability(labels=frozenset(labels)).why_not(requirement) == reason

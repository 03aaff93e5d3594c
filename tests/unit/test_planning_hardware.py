"""Which files `--hardware` keeps."""

from __future__ import annotations

import pytest

from dt_action.model.case import TestFile
from dt_action.model.hardware import NOTHING, Clause, DeviceKind, DeviceNeed, FileNeeds, Requirement
from dt_action.planning.plan import for_hardware


def needing(*kinds: DeviceKind) -> Requirement:
    return Requirement(all_of=tuple(Clause(any_of=(DeviceNeed(kind=kind),)) for kind in kinds))


@pytest.mark.parametrize(
    ("hardware", "kept"),
    [
        ((), ["any", "cuda", "gpu", "mixed"]),
        (("all",), ["any", "cuda", "gpu", "mixed"]),
        (("cpu",), ["any", "mixed"]),
        (("cuda",), ["cuda", "gpu", "mixed"]),
        (("rocm",), ["gpu"]),
        (("gpu",), ["cuda", "gpu", "mixed"]),
        (("tpu", "cpu"), ["any", "gpu", "mixed"]),
    ],
)
def test_hardware_keeps_the_files_with_a_test_for_it(hardware: tuple[str, ...], kept: list[str]) -> None:
    needs = {
        "any": FileNeeds(path="any"),
        "cuda": FileNeeds(path="cuda", default=needing("cuda")),
        "gpu": FileNeeds(path="gpu", default=needing("gpu")),
        "mixed": FileNeeds(path="mixed", default=NOTHING, cases={"test_a": needing("cuda")}),
    }
    files = [TestFile(path=path) for path in needs]
    assert [file.path for file in for_hardware(files, needs, hardware)] == kept

"""Which variables tell a process what it sees: from one table, within what the caller left."""

from __future__ import annotations

import pytest

from dt_action.model.hardware import Device
from dt_action.model.holding import Visible
from dt_action.model.visibility import allowed, variables
from dt_action.probes import numbered

A100 = [Device(kind="cuda", index=at, uuid=f"GPU-aaaa{at}") for at in range(4)]
ASCEND = numbered([Device(kind="npu", features=frozenset({"ascend"}))] * 2)
NEURON = numbered([Device(kind="npu", features=frozenset({"neuron"}))] * 2)


def seen(kinds: str, *devices: Device, **environ: str) -> dict[str, str | None]:
    return variables(Visible(devices=devices, kinds=frozenset({kinds})), environ)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (
            seen("cuda", A100[1], A100[3]),
            {"CUDA_VISIBLE_DEVICES": "GPU-aaaa1,GPU-aaaa3", "DT_DEVICES": "cuda:1,cuda:3"},
        ),
        (seen("cuda"), {"CUDA_VISIBLE_DEVICES": "", "DT_DEVICES": ""}),
        (
            seen("rocm", Device(kind="rocm", index=2), HIP_VISIBLE_DEVICES="0,2"),
            {"ROCR_VISIBLE_DEVICES": "2", "HIP_VISIBLE_DEVICES": None, "DT_DEVICES": "rocm:2"},
        ),
        (seen("xpu", Device(kind="xpu", index=1)), {"ZE_AFFINITY_MASK": "1", "DT_DEVICES": "xpu:1"}),
        (
            seen("npu", ASCEND[1]),
            {"ASCEND_RT_VISIBLE_DEVICES": "1", "NEURON_RT_VISIBLE_CORES": "", "DT_DEVICES": "npu:1"},
        ),
        (seen("mps", Device(kind="mps")), {"DT_DEVICES": "mps:0"}),
    ],
)
def test_a_process_is_told_just_what_it_has(told: dict[str, str | None], expected: dict[str, str | None]) -> None:
    assert told == expected


@pytest.mark.parametrize(
    ("environ", "left"),
    [
        ({}, [0, 1, 2, 3]),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, [0, 2]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-aaaa3"}, [3]),
        ({"CUDA_VISIBLE_DEVICES": "all"}, [0, 1, 2, 3]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"ROCR_VISIBLE_DEVICES": "0"}, [0, 1, 2, 3]),
    ],
)
def test_what_the_caller_hides_is_not_there(environ: dict[str, str], left: list[int]) -> None:
    assert [device.index for device in allowed(A100, environ)] == left


def test_devices_are_counted_by_kind_and_vendor() -> None:
    assert [device.index for device in numbered([*ASCEND, *NEURON])] == [0, 1, 0, 1]

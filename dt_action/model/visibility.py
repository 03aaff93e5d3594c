"""Which environment variables tell a process which devices it sees, by kind of device. The one table of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dt_action.model.hardware import Device
from dt_action.model.holding import Visible

DEVICES = "DT_DEVICES"
"""What a test has: `cuda:2` (the third of its machine), several joined by commas; empty for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    The variables of one vendor. All of them are set; a caller's restriction may stand in any of them.

    A device `is_named` by its uuid where it has one. With `feature`, the row is for devices that have it.
    """

    kind: str
    variables: tuple[str, ...]
    none: str = ""
    feature: str = ""
    is_named: bool = False


TABLE = (
    # https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
    Row(kind="cuda", variables=("CUDA_VISIBLE_DEVICES",), is_named=True),
    # https://rocm.docs.amd.com/en/latest/conceptual/gpu-isolation.html; HIP counts within what ROCR leaves
    Row(kind="rocm", variables=("ROCR_VISIBLE_DEVICES",)),
    # https://oneapi-src.github.io/level-zero-spec/level-zero/latest/core/PROG.html#affinity-mask
    Row(kind="xpu", variables=("ZE_AFFINITY_MASK",)),
    # https://docs.habana.ai/en/latest/PyTorch/Reference/PyTorch_Gaudi_Theory_of_Operations.html
    Row(kind="hpu", variables=("HABANA_VISIBLE_MODULES", "HABANA_VISIBLE_DEVICES")),
    # https://www.hiascend.com/document (CANN: environment variables)
    Row(kind="npu", variables=("ASCEND_RT_VISIBLE_DEVICES",), feature="ascend"),
    # https://awsdocs-neuron.readthedocs-hosted.com/en/latest/neuron-runtime/nrt-configurable-parameters.html
    Row(kind="npu", variables=("NEURON_RT_VISIBLE_CORES",), feature="neuron"),
    # https://github.com/jax-ml/jax/blob/main/jax/_src/cloud_tpu_init.py
    Row(kind="tpu", variables=("TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES")),
)
_INDIRECT = ("HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
"""They count within what ROCR_VISIBLE_DEVICES leaves: where that is set, they have nothing more to say."""


def variables(visible: Visible, environ: Mapping[str, str]) -> dict[str, str | None]:
    """
    The variables by which a process sees just the devices that are `visible`; None for one that is to be unset.

    `environ` is what it would have otherwise. The devices are some of those that `environ` allows.
    """
    told: dict[str, str | None] = {DEVICES: ",".join(f"{device.kind}:{device.index}" for device in visible.devices)}
    for row in TABLE:
        if row.kind not in visible.kinds:
            continue
        mine = [device for device in visible.devices if _is_of(row, device)]
        value = ",".join(_name(row, device) for device in mine) if mine else row.none
        told.update(dict.fromkeys(row.variables, value))
        if row.kind == "rocm":
            told.update({name: None for name in _INDIRECT if name in environ})
    return told


def allowed(devices: Sequence[Device], environ: Mapping[str, str]) -> tuple[Device, ...]:
    """The devices of a machine, numbered by kind and vendor, that the caller's own variables leave."""
    left: list[Device] = []
    for device in devices:
        row = next((row for row in TABLE if _is_of(row, device)), None)
        said = [environ[name] for name in row.variables if name in environ] if row is not None else []
        if all(_names(value, device) for value in said):
            left.append(device)
    return tuple(left)


def _is_of(row: Row, device: Device) -> bool:
    return device.kind == row.kind and (not row.feature or row.feature in device.features)


def _name(row: Row, device: Device) -> str:
    return device.uuid if row.is_named and device.uuid else str(device.index)


def _names(value: str, device: Device) -> bool:
    """True where a caller's list holds the device, by its number or by the beginning of its uuid."""
    words = [word.strip() for word in value.split(",") if word.strip()]
    if words and words[0].lower() == "all":
        return True
    return any(
        word == str(device.index) or (device.uuid and len(word) > 4 and device.uuid.startswith(word)) for word in words
    )

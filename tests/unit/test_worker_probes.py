"""What probes find on made-up machines, and that nothing they meet makes them raise."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dt_action.probes import evidence, probe
from dt_action.probes.system import System


@dataclass(frozen=True, kw_only=True)
class MadeUp(System):
    """A machine of files in a folder, and of commands that print something."""

    printed: dict[str, str] = field(default_factory=dict)

    def which(self, command: str) -> bool:
        return command in self.printed

    def run(self, command) -> str:
        return self.printed.get(command[0], "")


def machine(root: Path, files: dict[str, str] | None = None, **more) -> MadeUp:
    for name, text in (files or {}).items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return MadeUp(**{"root": root, "platform": "linux", "machine": "x86_64", **more})


SYCL = (
    "[level_zero:gpu][level_zero:0] Intel(R) oneAPI Unified Runtime over Level-Zero, Intel(R) Arc(TM) A770 12.55 [1]\n"
)

MACHINES = {
    "nothing": ({}, {}, {}, []),
    "two NVIDIA": (
        {"/dev/nvidia0": "", "/dev/nvidia1": ""},
        {"nvidia-smi": "NVIDIA H100, 81559, 9.0\nNVIDIA H100, 81559, 9.0\n"},
        {},
        ["cuda", "cuda"],
    ),
    "NVIDIA, hidden": ({"/dev/nvidia0": ""}, {"nvidia-smi": "x, 1, 9.0\n"}, {"CUDA_VISIBLE_DEVICES": ""}, []),
    "NVIDIA without a driver": ({"/dev/nvidia0": ""}, {"nvidia-smi": "couldn't communicate\n"}, {}, []),
    "Intel GPU": ({"/dev/dri/renderD128": ""}, {"sycl-ls": SYCL}, {}, ["xpu"]),
    "Intel GPU without a runtime": ({"/dev/dri/renderD128": ""}, {}, {}, []),
    "Intel GPU with OpenVINO": (
        {"/dev/dri/renderD128": "", "/opt/intel/openvino_2026/setupvars.sh": ""},
        {"sycl-ls": SYCL},
        {},
        ["openvino", "xpu"],
    ),
    "OpenVINO without hardware": ({"/opt/intel/openvino_2026/setupvars.sh": ""}, {}, {}, []),
    "Intel NPU": (
        {"/dev/accel/accel0": "", "/sys/class/accel/accel0/device/vendor": "0x8086\n"},
        {},
        {},
        ["npu"],
    ),
    "Gaudi": ({"/dev/accel/accel0": ""}, {"hl-smi": "HL-225, 98304\nHL-225, 98304\n"}, {}, ["hpu", "hpu"]),
    "Ascend": ({"/dev/davinci0": "", "/dev/davinci_manager": ""}, {}, {}, ["npu"]),
    "Neuron": ({"/dev/neuron0": "", "/dev/neuron1": ""}, {}, {}, ["npu", "npu"]),
    "TPU v4": ({"/dev/accel0": "", "/sys/class/accel/accel0/device/vendor": "0x1ae0\n"}, {}, {}, ["tpu"]),
    "TPU v5e": ({"/dev/vfio/0": "", "/dev/vfio/vfio": ""}, {}, {"TPU_ACCELERATOR_TYPE": "v5litepod-1"}, ["tpu"]),
    "vfio of something else": ({"/dev/vfio/0": ""}, {}, {}, []),
    "Hexagon": ({"/dev/fastrpc-cdsp": "", "/dev/fastrpc-cdsp-secure": ""}, {}, {}, ["qualcomm"]),
    "Vulkan": ({"/dev/dri/renderD128": "", "/usr/share/vulkan/icd.d/radeon_icd.json": ""}, {}, {}, ["webgpu"]),
    "Vulkan in software": ({"/usr/share/vulkan/icd.d/lvp_icd.json": ""}, {}, {}, ["webgpu"]),
    "AMD": (
        {
            "/sys/class/kfd/kfd/topology/nodes/0/properties": "simd_count 0\n",
            "/sys/class/kfd/kfd/topology/nodes/1/properties": "simd_count 304\ngfx_target_version 90402\n",
            "/sys/class/kfd/kfd/topology/nodes/1/mem_banks/0/properties": "size_in_bytes 206141652992\n",
        },
        {},
        {},
        ["rocm"],
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_devices(tmp_path, name):
    files, printed, environ, kinds = MACHINES[name]
    made = machine(tmp_path, files, printed=printed, environ=environ)
    assert sorted(device.kind for device in probe(made).devices) == kinds
    assert evidence(made)


def test_details(tmp_path):
    files, printed, environ, _ = MACHINES["two NVIDIA"]
    (first, _) = probe(machine(tmp_path / "a", files, printed=printed, environ=environ)).devices
    assert first.memory_bytes == 81559 << 20
    assert first.features >= {"sm90", "sm90a", "sm80", "sm75"}
    assert "sm100" not in first.features
    files, printed, environ, _ = MACHINES["Gaudi"]
    assert probe(machine(tmp_path / "b", files, printed=printed)).devices[0].memory_bytes == 98304 << 20
    files, printed, environ, _ = MACHINES["Intel GPU"]
    assert probe(machine(tmp_path / "c", files, printed=printed)).devices[0].name == "Intel(R) Arc(TM) A770 12.55"
    files, *_ = MACHINES["Vulkan in software"]
    assert probe(machine(tmp_path / "d", files)).devices[0].features == {"software"}


def test_a_mac(tmp_path):
    found = probe(machine(tmp_path, platform="darwin", machine="arm64", printed={"sysctl": "68719476736\n"}))
    assert sorted(device.kind for device in found.devices) == ["mps", "webgpu"]
    assert (found.platform, found.memory_bytes) == ("darwin", 64 << 30)


def test_the_processor(tmp_path):
    made = machine(tmp_path, {"/proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"})
    assert probe(made).labels == {"x86_64", "avx2", "avx512f"}


def test_browsers_and_their_versions(tmp_path):
    made = machine(tmp_path, printed={"chromium": "Chromium 150.0\n", "firefox-esr": ""})
    assert probe(made).browsers == {"chromium", "firefox"}
    assert "browsers: chromium: Chromium 150.0" in evidence(made)
    assert "browsers: firefox: of unknown version" in evidence(made)


@given(text=st.text(max_size=200))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_raises_nothing(tmp_path_factory, text):
    every = {name: text for files, *_ in MACHINES.values() for name in files}
    every["/proc/cpuinfo"] = every["/proc/meminfo"] = every["/sys/fs/cgroup/memory.max"] = "x"
    commands = {name: text for _, printed, *_ in MACHINES.values() for name in printed}
    made = machine(tmp_path_factory.mktemp("m"), {}, printed=commands)
    for name in every:
        path = made.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8", "replace"))
    probe(made)
    evidence(made)

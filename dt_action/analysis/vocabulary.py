"""What is known of the libraries that tests ask about hardware: one table per ecosystem, data and no logic of tests."""

from __future__ import annotations

import re
from typing import Final

from dt_action.analysis.facts import (
    Fact,
    any_accelerator,
    axis,
    capability,
    capability_at_least,
    constant,
    count_of,
    cuda_version,
    current_accelerator,
    device_list,
    device_name,
    gcn_arch,
    has,
    has_exactly_one_make,
    hip_version,
    jax_backend,
    jax_matches,
    needs,
    needs_axis,
    needs_browser,
    newer_than,
    openvino_devices,
    platform_system,
    providers,
    result,
    sys_platform,
    tensorflow_devices,
    triton_backend,
)
from dt_action.analysis.values import UNKNOWN, Count, Result
from dt_action.analysis.worlds import ACCELERATOR_KINDS, ALIKE, PLAIN

TORCH: Final[dict[str, Fact]] = {
    "torch.cuda.is_available": has(*ALIKE),
    "torch.cuda.device_count": count_of(*ALIKE),
    "torch.cuda.get_device_capability": capability,
    "torch.cuda.get_device_properties": result("properties", *ALIKE),
    "torch.cuda.get_arch_list": constant(UNKNOWN),
    "torch.cuda.is_bf16_supported": constant(UNKNOWN),
    "torch.cuda.set_device": needs(*ALIKE),
    "torch.cuda.current_device": needs(*ALIKE),
    "torch.cuda.current_stream": needs(*ALIKE),
    "torch.cuda.synchronize": needs(*ALIKE),
    "torch.cuda.Stream": needs(*ALIKE),
    "torch.cuda.Event": needs(*ALIKE),
    "torch.cuda.CUDAGraph": needs(*ALIKE),
    "torch.cuda.get_device_name": needs(*ALIKE),
    "torch.device": lambda w, a, k: a[0] if a and isinstance(a[0], str) else UNKNOWN,
    "torch.version.hip": hip_version,
    "torch.version.cuda": cuda_version,
    "torch.backends.mps.is_available": has("mps"),
    "torch.backends.mps.is_built": has("mps"),
    "torch.mps.is_available": has("mps"),
    "torch.mps.device_count": count_of("mps"),
    "torch.mps.synchronize": needs("mps"),
    "torch.xpu.is_available": has("xpu"),
    "torch.xpu.device_count": count_of("xpu"),
    "torch.xpu.synchronize": needs("xpu"),
    "torch.xpu.set_device": needs("xpu"),
    "torch.hpu.is_available": has("hpu"),
    "torch.hpu.device_count": count_of("hpu"),
    "habana_frameworks.torch.hpu.is_available": has("hpu"),
    "habana_frameworks.torch.hpu.device_count": count_of("hpu"),
    "torch.npu.is_available": has("npu"),
    "torch_npu.npu.is_available": has("npu"),
    "torch.neuron.is_available": has("npu"),
    "torch.npu.device_count": count_of("npu"),
    "torch.accelerator.is_available": any_accelerator,
    "torch.accelerator.device_count": count_of(*ACCELERATOR_KINDS),
    "torch.accelerator.current_accelerator": current_accelerator,
    "torch_xla.core.xla_model.xla_device": needs("tpu"),
    "torch_xla.core.xla_model.xla_device_hw": needs("tpu"),
    "torch.distributed.is_nccl_available": constant(UNKNOWN),
    "torch.testing._internal.common_utils.TEST_CUDA": has(*ALIKE),
    "torch.testing._internal.common_cuda.TEST_CUDA": has(*ALIKE),
    "torch.testing._internal.common_utils.TEST_MPS": has("mps"),
    "torch.testing._internal.common_utils.TEST_XPU": has("xpu"),
    "torch.testing._internal.common_utils.TEST_HPU": has("hpu"),
    "torch.testing._internal.common_utils.TEST_PRIVATEUSE1": constant(UNKNOWN),
    "torch.testing._internal.common_utils.TEST_WITH_ROCM": has("rocm"),
    "torch.testing._internal.common_utils.IS_WINDOWS": lambda w, a, k: w.platform == "windows",
    "torch.testing._internal.common_utils.IS_MACOS": lambda w, a, k: w.platform == "darwin",
    "torch.testing._internal.common_utils.IS_LINUX": lambda w, a, k: w.platform == "linux",
    "torch.testing._internal.common_cuda.TEST_MULTIGPU": lambda w, a, k: w.accelerator in ALIKE and w.count() >= 2,
    "torch.testing._internal.common_cuda.TEST_CUDNN": has(*ALIKE),
    **{
        f"torch.testing._internal.common_cuda.SM{level}OrLater": newer_than(level)
        for level in (53, 60, 70, 75, 80, 89, 90, 100, 120)
    },
    "torch.testing._internal.inductor_utils.HAS_CUDA": has(*ALIKE),
    "torch.testing._internal.inductor_utils.HAS_CUDA_AND_TRITON": has(*ALIKE),
    "torch.testing._internal.inductor_utils.HAS_GPU": any_accelerator,
    "torch.testing._internal.inductor_utils.HAS_GPU_AND_TRITON": any_accelerator,
    "torch.testing._internal.inductor_utils.HAS_XPU": has("xpu"),
    "torch.testing._internal.inductor_utils.HAS_MPS": has("mps"),
    "torch.testing._internal.inductor_utils.GPU_TYPE": device_name,
    "torch.testing._internal.common_utils.DEVICE_TYPE": device_name,
    "torch.utils._triton.has_triton": constant(UNKNOWN),
}
HUGGING_FACE: Final[dict[str, Fact]] = {
    "transformers.testing_utils.torch_device": device_name,
    "diffusers.utils.testing_utils.torch_device": device_name,
    "accelerate.test_utils.torch_device": device_name,
    "accelerate.test_utils.testing.torch_device": device_name,
    "accelerate.test_utils.device_count": constant(Count(ACCELERATOR_KINDS, 1)),
    "accelerate.test_utils.testing.device_count": constant(Count(ACCELERATOR_KINDS, 1)),
    "accelerate.test_utils.testing.get_backend": lambda w, a, k: (
        device_name(w, a, k),
        Count(ACCELERATOR_KINDS, 1),
        UNKNOWN,
    ),
    "peft.utils.infer_device": device_name,
    "peft.utils.other.infer_device": device_name,
    "transformers.utils.get_available_devices": constant(UNKNOWN),
}
LIGHTNING: Final[dict[str, Fact]] = {
    **{
        f"{package}.{tail}": fact
        for package in (
            "lightning.fabric.accelerators",
            "lightning.pytorch.accelerators",
            "lightning_fabric.accelerators",
            "pytorch_lightning.accelerators",
        )
        for tail, fact in (
            ("cuda.num_cuda_devices", count_of(*ALIKE)),
            ("cuda.is_cuda_available", has(*ALIKE)),
            ("CUDAAccelerator.is_available", has(*ALIKE)),
            ("CUDAAccelerator.auto_device_count", count_of(*ALIKE)),
            ("cuda.CUDAAccelerator.is_available", has(*ALIKE)),
            ("MPSAccelerator.is_available", has("mps")),
            ("mps.MPSAccelerator.is_available", has("mps")),
            ("XLAAccelerator.is_available", has("tpu")),
            ("xla.XLAAccelerator.is_available", has("tpu")),
        )
    },
}
JAX: Final[dict[str, Fact]] = {
    "jax.default_backend": jax_backend,
    "jax.device_count": constant(Count(ACCELERATOR_KINDS, 1)),
    "jax.local_device_count": constant(Count(ACCELERATOR_KINDS, 1)),
    "jax.devices": lambda w, a, k: [Result("jax_device")] * max(w.count(), 1) if not a else UNKNOWN,
    "jax.local_devices": lambda w, a, k: [Result("jax_device")] * max(w.count(), 1) if not a else UNKNOWN,
    "jax.lib.xla_bridge.get_backend": constant(Result("jax_device")),
    "jax._src.test_util.device_under_test": jax_backend,
    "jax._src.test_util.test_device_matches": jax_matches,
    "jax._src.test_util.is_device_cuda": has("cuda"),
    "jax._src.test_util.is_device_rocm": has("rocm"),
    "jax._src.test_util.is_device_tpu": has("tpu"),
    "jax._src.test_util.is_device_tpu_at_least": has("tpu"),
    "jax._src.test_util.is_cuda_compute_capability_at_least": capability_at_least,
    "jax._src.test_util.is_cloud_tpu": has("tpu"),
}
ARRAYS: Final[dict[str, Fact]] = {
    "cupy.is_available": has(*ALIKE),
    "cupy.cuda.is_available": has(*ALIKE),
    "cupy.cuda.runtime.is_hip": has("rocm"),
    "cupy.cuda.runtime.getDeviceCount": count_of(*ALIKE),
    "numba.cuda.is_available": has("cuda"),
    "numba.cuda.gpus": device_list("cuda"),
    "pycuda.driver.Device.count": count_of("cuda"),
    "warp.is_cuda_available": has("cuda"),
    "warp.get_cuda_device_count": count_of("cuda"),
    "warp.get_cuda_devices": device_list("cuda"),
    "tensorflow.test.is_gpu_available": has(*ALIKE),
    "tensorflow.test.is_built_with_cuda": has("cuda"),
    "tensorflow.test.is_built_with_rocm": has("rocm"),
    "tensorflow.config.list_physical_devices": tensorflow_devices,
    "tensorflow.config.list_logical_devices": tensorflow_devices,
    "tensorflow.config.experimental.list_physical_devices": tensorflow_devices,
    "paddle.is_compiled_with_cuda": has(*ALIKE),
    "paddle.is_compiled_with_rocm": has("rocm"),
    "paddle.is_compiled_with_xpu": constant(UNKNOWN),
    "paddle.device.cuda.device_count": count_of(*ALIKE),
    "paddle.base.core.is_compiled_with_cuda": has(*ALIKE),
    "paddle.fluid.core.is_compiled_with_cuda": has(*ALIKE),
    "onnxruntime.get_available_providers": providers,
    "openvino.Core": constant(Result("openvino_core")),
    "openvino.runtime.Core": constant(Result("openvino_core")),
}
TRITON: Final[dict[str, Fact]] = {
    "triton._internal_testing.is_cuda": has("cuda"),
    "triton._internal_testing.is_hip": has("rocm"),
    "triton._internal_testing.is_xpu": has("xpu"),
    "triton._internal_testing.is_interpreter": constant(UNKNOWN),
    "triton.runtime.driver.active.get_current_target": constant(Result("triton_target")),
    "triton.runtime.driver.active.get_device_capability": capability,
}
VLLM: Final[dict[str, Fact]] = {
    **{
        f"vllm.platforms.current_platform.{tail}": fact
        for tail, fact in (
            ("is_cuda", has("cuda")),
            ("is_rocm", has("rocm")),
            ("is_cuda_alike", has_exactly_one_make(*ALIKE)),
            ("is_cpu", has(PLAIN)),
            ("is_tpu", has("tpu")),
            ("is_xpu", has("xpu")),
            ("is_hpu", has("hpu")),
            ("is_neuron", has("npu")),
            ("has_device_capability", capability_at_least),
            ("get_device_capability", capability),
            ("device_count", count_of(*ACCELERATOR_KINDS)),
            ("device_type", device_name),
        )
    },
    "vllm.utils.cuda_device_count_stateless": count_of(*ALIKE),
    "vllm.utils.torch_utils.cuda_device_count_stateless": count_of(*ALIKE),
}
WEBGPU: Final[dict[str, Fact]] = {
    "wgpu.utils.get_default_device": needs_axis("webgpu"),
    "wgpu.utils.device.get_default_device": needs_axis("webgpu"),
    "wgpu.gpu.request_adapter_sync": needs_axis("webgpu"),
    "wgpu.gpu.request_adapter": needs_axis("webgpu"),
    "wgpu.request_adapter_sync": needs_axis("webgpu"),
    "wgpu.gpu.enumerate_adapters_sync": lambda w, a, k: [UNKNOWN] if w.ask("webgpu") else [],
}
BROWSER: Final[dict[str, Fact]] = {
    "selenium.webdriver.Chrome": needs_browser("chrome"),
    "selenium.webdriver.Firefox": needs_browser("firefox"),
    "selenium.webdriver.Safari": needs_browser("safari"),
    "selenium.webdriver.Edge": needs_browser("edge"),
    "selenium.webdriver.Remote": constant(UNKNOWN),
    "playwright.sync_api.sync_playwright": needs_browser("any"),
    "playwright.async_api.async_playwright": needs_browser("any"),
}
BROWSER_FIXTURES: Final = frozenset({"page", "browser", "browser_context", "selenium"})
"""Fixtures of pytest-playwright and pytest-selenium, where the project defines none of the name."""
MACHINE: Final[dict[str, Fact]] = {
    "sys.platform": sys_platform,
    "platform.system": platform_system,
    "platform.uname": constant(Result("uname")),
    "os.name": lambda w, a, k: "nt" if w.platform == "windows" else "posix",
    "os.uname": constant(Result("uname")),
    "os.cpu_count": lambda w, a, k: w.ask("cpu_count"),
    "multiprocessing.cpu_count": lambda w, a, k: w.ask("cpu_count"),
    "psutil.virtual_memory": constant(Result("virtual_memory")),
    "psutil.cpu_count": lambda w, a, k: w.ask("cpu_count"),
}
DOTTED: Final[dict[str, Fact]] = {
    **TORCH,
    **HUGGING_FACE,
    **LIGHTNING,
    **JAX,
    **ARRAYS,
    **TRITON,
    **VLLM,
    **WEBGPU,
    **BROWSER,
    **MACHINE,
}

CONSTANTS: Final = frozenset(
    {
        name
        for name in DOTTED
        if name.rpartition(".")[2].isupper() or re.search(r"SM\d+OrLater$|TEST_|HAS_|GPU_TYPE", name)
    }
    | {
        "torch.version.hip",
        "torch.version.cuda",
        "sys.platform",
        "os.name",
        "cupy.cuda.runtime.is_hip",
        "numba.cuda.gpus",
    }
    | {name for name in DOTTED if name.endswith((".torch_device", ".device_count")) and "test" in name}
    | {"vllm.platforms.current_platform.device_type"}
)
"""Facts that are read, not called."""

RESULT_ATTRIBUTES: Final[dict[tuple[str, str], Fact]] = {
    ("properties", "major"): lambda w, a, k: w.ask("arch")[0] if w.accelerator == "cuda" else UNKNOWN,  # type: ignore[index]
    ("properties", "minor"): lambda w, a, k: w.ask("arch")[1] if w.accelerator == "cuda" else UNKNOWN,  # type: ignore[index]
    ("properties", "total_memory"): lambda w, a, k: w.ask("device_memory"),
    ("properties", "gcnArchName"): gcn_arch,
    ("accelerator", "type"): device_name,
    ("jax_device", "platform"): jax_backend,
    ("virtual_memory", "total"): lambda w, a, k: w.ask("host_memory"),
    ("virtual_memory", "available"): lambda w, a, k: w.ask("host_memory"),
    ("openvino_core", "available_devices"): openvino_devices,
    ("triton_target", "backend"): triton_backend,
    ("triton_target", "arch"): lambda w, a, k: UNKNOWN,
    ("uname", "system"): platform_system,
    ("uname", "sysname"): platform_system,
}

NAMED: Final[dict[str, Fact]] = {
    "is_cuda_available": has(*ALIKE),
    "is_torch_cuda_available": has(*ALIKE),
    "is_xpu_available": has("xpu"),
    "is_torch_xpu_available": has("xpu"),
    "is_npu_available": has("npu"),
    "is_torch_npu_available": has("npu"),
    "is_neuron_available": has("npu"),
    "is_torch_neuroncore_available": has("npu"),
    "is_hpu_available": has("hpu"),
    "is_torch_hpu_available": has("hpu"),
    "is_habana_available": has("hpu"),
    "is_mps_available": has("mps"),
    "is_torch_mps_available": has("mps"),
    "is_torch_xla_available": has("tpu"),
    "is_torch_tpu_available": has("tpu"),
    "is_tpu_available": has("tpu"),
    "is_mlu_available": constant(False),
    "is_sdaa_available": constant(False),
    "is_musa_available": constant(False),
    "is_torch_mlu_available": constant(False),
    "is_torch_musa_available": constant(False),
    "is_rocm": has("rocm"),
    "is_hip": has("rocm"),
    "is_ROCM": has("rocm"),
    "is_rocm_available": has("rocm"),
    "is_gpu_available": any_accelerator,
    "is_gaudi": has("hpu"),
    "num_cuda_devices": count_of(*ALIKE),
    "can_use_wgpu_lib": axis("webgpu"),
}
"""Predicates known by their bare name where their definition cannot be read."""

IMPORTS: Final[dict[str, tuple[str, ...]]] = {
    "cupy": ALIKE,
    "cupyx": ALIKE,
    "flash_attn": ALIKE,
    "cudf": ("cuda",),
    "cuml": ("cuda",),
    "cugraph": ("cuda",),
    "cuspatial": ("cuda",),
    "cuvs": ("cuda",),
    "cucim": ("cuda",),
    "pylibraft": ("cuda",),
    "pylibcudf": ("cuda",),
    "dask_cudf": ("cuda",),
    "rmm": ("cuda",),
    "pycuda": ("cuda",),
    "cuda": ("cuda",),
    "tensorrt": ("cuda",),
    "torch_tensorrt": ("cuda",),
    "tensorrt_llm": ("cuda",),
    "transformer_engine": ("cuda",),
    "torch_npu": ("npu",),
    "torch_neuronx": ("npu",),
    "habana_frameworks": ("hpu",),
}
"""Packages whose import, or first use, cannot work without the device."""

PREFIXES: Final = frozenset(
    ".".join(parts[:length]) for name in DOTTED for parts in [name.split(".")] for length in range(1, len(parts))
)
"""Dotted names under which a fact stands."""


def fact_of(name: str) -> Fact | None:
    """What is known of something external, by its dotted name, then by its last part."""
    return DOTTED.get(name) or NAMED.get(name.rpartition(".")[2])

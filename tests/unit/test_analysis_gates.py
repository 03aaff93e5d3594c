"""What the analysis makes of each kind of gate, on code of our own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds

HEAD = """
import os, platform, sys, unittest
import pytest, torch
"""


def analyze(root: Path, source: str, **others: str) -> FileNeeds:
    """The needs of `tests/test_it.py`; other files by path, `__` for a slash."""
    for name, text in {"tests/test_it.py": HEAD + dedent(source), **others}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return StaticAnalyzer(root=root).analyze([TestFile(path="tests/test_it.py")])["tests/test_it.py"]


GATES = {
    "a skipif on a missing device": ("@pytest.mark.skipif(not torch.cuda.is_available(), reason='')", "cuda"),
    "a skipIf of unittest": ("@unittest.skipIf(not torch.xpu.is_available(), '')", "xpu"),
    "a skipUnless of unittest": ("@unittest.skipUnless(torch.backends.mps.is_available(), '')", "mps"),
    "a negative gate": ("@pytest.mark.skipif(torch.backends.mps.is_available(), reason='')", "not mps"),
    "cuda that is turned away is NVIDIA": ("@pytest.mark.skipif(torch.cuda.is_available(), reason='')", "not cuda"),
    "a reason never counts": ("@pytest.mark.skipif(sys.maxsize < 0, reason='needs CUDA and a TPU')", "nothing"),
    "an unconditional skip": ("@unittest.skip('does not work on MPS')", "nothing"),
    "an or of devices": (
        "@unittest.skipUnless(torch.cuda.is_available() or torch.xpu.is_available(), '')",
        "cuda or xpu",
    ),
    "De Morgan": (
        "@pytest.mark.skipif(not (torch.cuda.is_available() or torch.xpu.is_available()), reason='')",
        "cuda or xpu",
    ),
    "operands of an or stand for themselves": (
        "@pytest.mark.skipif(not torch.cuda.is_available() or torch.version.hip is not None, reason='')",
        "cuda and not rocm",
    ),
    "a count": ("@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='')", "2 cuda"),
    "any accelerator": ("@pytest.mark.skipif(not torch.accelerator.is_available(), reason='')", "gpu"),
    "a compute capability": (
        "@pytest.mark.skipif(not torch.cuda.is_available() or torch.cuda.get_device_capability() < (9, 0), reason='')",
        "cuda with sm90",
    ),
    "device memory": (
        "@pytest.mark.skipif(not torch.cuda.is_available() or "
        "torch.cuda.get_device_properties(0).total_memory < 30e9, reason='')",
        "cuda with 40 GiB",
    ),
    "a platform": ("@pytest.mark.skipif(sys.platform == 'win32', reason='')", "on darwin or linux"),
    "a platform by name": ("@pytest.mark.skipif(platform.system() != 'Linux', reason='')", "on linux"),
    "a condition in a string": ("@pytest.mark.skipif('sys.platform != \"darwin\"', reason='')", "on darwin"),
    "software is not hardware": ("@pytest.mark.skipif(not os.environ.get('RUN_SLOW'), reason='')", "nothing"),
    "a selection mark": ("@pytest.mark.multi_gpu", "2 gpu"),
    "an xfail is no gate": ("@pytest.mark.xfail(not torch.cuda.is_available(), reason='')", "nothing"),
    "filterwarnings names no device": ("@pytest.mark.filterwarnings('ignore::cuda')", "nothing"),
}


@pytest.mark.parametrize(("decorator", "expected"), GATES.values(), ids=GATES)
def test_a_decorator_means(tmp_path: Path, decorator: str, expected: str) -> None:
    needs = analyze(tmp_path, f"{decorator}\ndef test_x(): assert True\n")
    assert str(needs.of("test_x")) == expected


BODIES = {
    "a skip in the body": ("if not torch.cuda.is_available():\n    pytest.skip('no')", "cuda"),
    "a negative skip in the body": ("if torch.version.hip:\n    pytest.skip('no')", "not rocm"),
    "a raised SkipTest": ("if not torch.cuda.is_available():\n    raise unittest.SkipTest('no')", "cuda"),
    "a fallback needs nothing": (
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'\nx = torch.ones(2, device=device)",
        "nothing",
    ),
    "a device that is used": ("x = torch.ones(2, device='cuda')", "cuda"),
    "a second device that is used": ("x = torch.ones(2).to('cuda:1')", "2 cuda"),
    "a method that moves": ("x = model().cuda()", "cuda"),
    "a device that is only named": ("x = torch.device('cuda:1')", "nothing"),
    "an asserted device": ("assert torch.cuda.is_available()", "cuda"),
    "an assertion about behaviour": (
        "assert pick() == ('cuda' if torch.cuda.is_available() else 'gpu') or not torch.cuda.is_available()",
        "nothing",
    ),
    "an assertion excludes nothing": ("assert not torch.cuda.is_available()", "nothing"),
    "a failure that is wanted": ("with pytest.raises(RuntimeError):\n    torch.ones(2, device='cuda')", "nothing"),
    "a failure that is caught": ("try:\n    torch.ones(2, device='cuda')\nexcept RuntimeError:\n    pass", "nothing"),
    "an early return": ("if not torch.cuda.is_available():\n    return\nassert 1", "cuda"),
    "a branch that may be taken": ("if os.environ.get('X'):\n    torch.ones(2, device='cuda')", "nothing"),
    "a string": ("text = 'pytest.skip unless cuda'\nassert text", "nothing"),
    "an import that cannot work": ("import cudf", "cuda"),
    "a guarded import": ("try:\n    import cudf\nexcept ImportError:\n    cudf = None", "nothing"),
}


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES)
def test_a_body_means(tmp_path: Path, body: str, expected: str) -> None:
    indented = "\n".join("    " + line for line in body.splitlines())
    needs = analyze(tmp_path, f"def test_x():\n{indented}\n")
    assert str(needs.of("test_x")) == expected

"""The ways in which projects gate tests that a table cannot list: each on a small project of our own."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile


def needs(root: Path, files: dict[str, str], test: str = "test_x") -> str:
    """What the test of `tests/test_it.py` needs; every file begins with the usual imports."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import os, sys, unittest\nimport pytest, torch\n" + dedent(text))
    found = StaticAnalyzer(root=root).analyze([TestFile(path="tests/test_it.py")])["tests/test_it.py"]
    assert not [finding for finding in found.findings if finding.evidence.rule == "not-understood"]
    return str(found.of(test))


ON_CPU = "\n@gate\ndef test_x(): pass\n"


def test_a_skip_condition_may_be_handed_to_a_helpers_class_method(tmp_path: Path) -> None:
    helper = """
        class Tool:
            @classmethod
            def skip_if(cls, condition, reason):
                return unittest.skipIf(condition, reason)
    """
    test = "from tool import Tool\n@Tool.skip_if(not torch.cuda.is_available(), 'no')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/tool.py": helper, "tests/test_it.py": test}) == "cuda"


def test_a_skip_condition_may_be_handed_to_a_helper_out_of_reach(tmp_path: Path) -> None:
    test = "from tool import Tool\n@Tool.skip_if(not torch.xpu.is_available(), 'no')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/test_it.py": test}) == "xpu"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("not lab.has_cuda()", "cuda"),
        ("not lab.HAS_GPU", "gpu"),
        ("lab.is_rocm_available()", "not rocm"),
        ("lab.num_gpus() < 2", "2 gpu"),
        ("not lab.device_available('xpu')", "xpu"),
        ("lab.get_device() == 'cpu'", "gpu"),
        ("lab.DEVICE_TYPE != 'cuda'", "cuda"),
        ("lab.current_platform.device_type in ('tpu', 'npu')", "not npu and not tpu"),
        ("not lab.has_triton()", "nothing"),
        ("lab.is_slow()", "nothing"),
        ("lab.get_backend() == 'gloo'", "nothing"),
    ],
)
def test_a_predicate_out_of_reach_says_by_its_name_what_it_asks(tmp_path: Path, condition: str, expected: str) -> None:
    test = f"import lab\n@pytest.mark.skipif({condition}, reason='')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/test_it.py": test}) == expected


def test_a_predicate_of_the_project_that_cannot_be_followed_says_it_too(tmp_path: Path) -> None:
    helper = """
        import lab

        def _device_usable(kind):
            return lab.probe(kind).ok

        def has_rocm():
            return _device_usable("rocm")
    """
    test = "from env import has_rocm\n@pytest.mark.skipif(not has_rocm(), reason='')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/env.py": helper, "tests/test_it.py": test}) == "rocm"


def test_a_mark_for_selection_and_a_gate_together_ask_for_the_narrower(tmp_path: Path) -> None:
    test = "import env\n@pytest.mark.gpu\n@pytest.mark.skipif(not env.has_cuda(), reason='')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/test_it.py": test}) == "cuda"


def test_a_fixture_gives_the_default_of_an_option(tmp_path: Path) -> None:
    conftest = """
        def pytest_addoption(parser):
            parser.addoption("--device", action="store", default="{}")

        @pytest.fixture
        def device(request):
            return request.config.getoption("--device")
    """
    test = "def test_x(device):\n    x = torch.ones(3, device=device)\n"
    for default, expected in (("cuda", "cuda"), ("cpu", "nothing")):
        files = {"tests/conftest.py": conftest.format(default), "tests/test_it.py": test}
        assert needs(tmp_path / default, files) == expected


def test_a_switch_of_pytest_is_no_hardware(tmp_path: Path) -> None:
    conftest = """
        def pytest_addoption(parser):
            parser.addoption("--run-gpu", action="store_true", default=False)
    """
    test = "def test_x(request):\n    if not request.config.getoption('--run-gpu'):\n        pytest.skip('no')\n"
    assert needs(tmp_path, {"tests/conftest.py": conftest, "tests/test_it.py": test}) == "nothing"


def test_a_fixture_that_returns_early_has_done_its_work(tmp_path: Path) -> None:
    conftest = """
        @pytest.fixture(autouse=True)
        def clean():
            if torch.accelerator.is_available():
                torch.accelerator.synchronize()
                return
    """
    assert needs(tmp_path, {"tests/conftest.py": conftest, "tests/test_it.py": "def test_x(): pass\n"}) == "nothing"


def test_a_library_for_several_makes_is_any_of_them_and_the_narrower_import_wins(tmp_path: Path) -> None:
    assert needs(tmp_path / "a", {"tests/test_it.py": "import cupy\ndef test_x(): pass\n"}) == "cuda or rocm"
    both = "import cupy\nimport cudf\ndef test_x(): pass\n"
    assert needs(tmp_path / "b", {"tests/test_it.py": both}) == "cuda"


def test_the_platform_of_the_projects_own_package_is_known_by_its_name(tmp_path: Path) -> None:
    files = {
        "vllm/__init__.py": "",
        "vllm/platforms/__init__.py": "def __getattr__(name):\n    return resolve(name)\n",
        "tests/test_it.py": "from vllm.platforms import current_platform\n"
        "@pytest.mark.skipif(not current_platform.is_rocm(), reason='')\ndef test_x(): pass\n",
    }
    assert needs(tmp_path, files) == "rocm"


def test_helpers_on_a_path_that_the_test_adds_are_found_and_others_are_not(tmp_path: Path) -> None:
    helper = "needs_device = pytest.mark.skipif(not torch.xpu.is_available(), reason='')\n"
    test = "from kit import needs_device\n@needs_device\ndef test_x(): pass\n"
    files = {"lib/other/kit.py": helper, "tests/test_it.py": test}
    assert needs(tmp_path / "without", files) == "nothing"
    files["tests/test_it.py"] = "sys.path.append('../lib/other')\n" + test
    files["tests/inner/deep/kit.py"] = helper
    assert needs(tmp_path / "with", files) == "xpu"


def test_words_within_words_are_not_heeded(tmp_path: Path) -> None:
    test = "def test_x():\n    input_ids = output = 1\n    assert input_ids == output\n"
    assert needs(tmp_path, {"tests/test_it.py": test}) == "nothing"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("with torch.device('cuda'):\n        torch.ones(2)", "cuda"),
        ("with torch.device('meta'):\n        torch.ones(2)", "nothing"),
        ("torch.set_default_device('xpu')", "xpu"),
        ("with FakeTensorMode():\n        torch.ones(2, device='cuda')", "nothing"),
        ("compile(kernel, target='cuda -arch=sm_80')", "nothing"),
        ("lab.export(model, target=lab.Target('cuda'))", "nothing"),
    ],
)
def test_a_device_is_needed_where_something_is_put_on_it_and_not_where_it_is_compiled_for(
    tmp_path: Path, body: str, expected: str
) -> None:
    assert needs(tmp_path, {"tests/test_it.py": f"def test_x():\n    {body}\n"}) == expected


def test_a_fixture_that_is_asked_for_in_the_body_gates(tmp_path: Path) -> None:
    test = """
        @pytest.fixture
        def board():
            if not torch.cuda.is_available():
                pytest.skip('')

        def test_x(request):
            request.getfixturevalue('board')
    """
    assert needs(tmp_path, {"tests/test_it.py": test}) == "cuda"


def test_the_tools_of_a_driver_tell_the_device(tmp_path: Path) -> None:
    helper = "import shutil\ndef has_gpu():\n    return shutil.which('nvidia-smi') is not None\n"
    test = "from env import has_gpu\n@pytest.mark.skipif(not has_gpu(), reason='')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/env.py": helper, "tests/test_it.py": test}) == "cuda"


def test_a_property_with_a_setter_is_read_by_its_getter(tmp_path: Path) -> None:
    helper = """
        class _Device:
            @property
            def DEFAULT(self):
                return probe()

            @DEFAULT.setter
            def DEFAULT(self, value):
                raise AttributeError

        Device = _Device()
    """
    test = "from env import Device\n@unittest.skipUnless(Device.DEFAULT == 'WEBGPU', '')\ndef test_x(): pass\n"
    assert needs(tmp_path, {"tests/env.py": helper, "tests/test_it.py": test}) == "webgpu"

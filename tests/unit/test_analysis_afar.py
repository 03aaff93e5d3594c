"""Gates that stand outside a test, its class and its fixtures: conditions around definitions, hooks, set-ups."""

from __future__ import annotations

from pathlib import Path

import pytest

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile

HEAD = "import unittest\nimport pytest, torch\n"
NO_CUDA = "not torch.cuda.is_available()"
TWO = "@pytest.mark.fast\ndef test_x(): pass\ndef test_y(): pass\n"
CASE = "class TestA(unittest.TestCase):\n    def test_x(self): pass\n"


def needs(root: Path, test: str, conftest: str = "") -> dict[str, str]:
    """What the tests of a file need that need something; the conftest file stands two folders up."""
    folder = root / "tests" / "ops"
    folder.mkdir(parents=True)
    (root / "tests" / "conftest.py").write_text(HEAD + conftest)
    (folder / "test_it.py").write_text(HEAD + test)
    found = StaticAnalyzer(root=root).analyze([TestFile(path="tests/ops/test_it.py")])["tests/ops/test_it.py"]
    assert not found.findings
    told = {"*": str(found.default), **{name: str(need) for name, need in found.cases.items()}}
    return {name: need for name, need in told.items() if need != "nothing"}


@pytest.mark.parametrize(
    "test",
    [
        "if torch.cuda.is_available():\n    def test_x(): pass\n",
        f"if {NO_CUDA}:\n    pass\nelse:\n    def test_x(): pass\n",
        f"{CASE}if {NO_CUDA}:\n    del TestA\n",
        "class TestA:\n    __test__ = torch.cuda.is_available()\n    def test_x(self): pass\n",
        "class TestA:\n    if torch.cuda.is_available():\n        def test_x(self): pass\n",
        f"def setUpModule():\n    if {NO_CUDA}:\n        raise unittest.SkipTest('')\n{CASE}",
        f"def setup_module(module):\n    if {NO_CUDA}:\n        pytest.skip('')\ndef test_x(): pass\n",
    ],
)
def test_what_is_only_defined_or_set_up_beside_a_device_needs_it(tmp_path: Path, test: str) -> None:
    assert needs(tmp_path, test) == {"*": "cuda"}


def test_a_class_that_is_always_deleted_has_no_tests(tmp_path: Path) -> None:
    base = "class Base(unittest.TestCase):\n    @unittest.skipIf(not torch.xpu.is_available(), '')\n"
    base += "    def test_x(self): pass\nclass TestA(Base):\n    def test_x(self): pass\n"
    assert needs(tmp_path / "kept", base) == {"Base::test_x": "xpu"}
    assert needs(tmp_path / "deleted", base + "del Base\n") == {}


@pytest.mark.parametrize(
    "hook",
    [
        f"def pytest_runtest_setup(item):\n    if item.get_closest_marker('fast') and {NO_CUDA}:\n"
        "        pytest.skip('')\n",
        "def pytest_runtest_setup(item):\n    names = [mark.name for mark in item.iter_markers()]\n"
        f"    if 'fast' in names and {NO_CUDA}:\n        pytest.skip('')\n",
        "def pytest_collection_modifyitems(config, items):\n    if torch.cuda.is_available():\n        return\n"
        "    skip = pytest.mark.skip(reason='')\n    for item in items:\n        if 'fast' in item.keywords:\n"
        "            item.add_marker(skip)\n",
        "def pytest_collection_modifyitems(items):\n    for item in items:\n"
        "        for mark in item.iter_markers(name='fast'):\n"
        f"            item.add_marker(pytest.mark.skipif({NO_CUDA}, reason=''))\n",
        f"def pytest_collection_modifyitems(items):\n    if {NO_CUDA}:\n"
        "        items[:] = [item for item in items if 'fast' not in item.keywords]\n",
    ],
)
def test_a_hook_of_a_conftest_file_far_up_gates_the_tests_that_it_means(tmp_path: Path, hook: str) -> None:
    assert needs(tmp_path, TWO, hook) == {"test_x": "cuda"}


@pytest.mark.parametrize(
    "conftest",
    [
        f"if {NO_CUDA}:\n    pytest.skip('', allow_module_level=True)\n",
        f"collect_ignore_glob = []\nif {NO_CUDA}:\n    collect_ignore_glob.append('*.py')\n",
        "collect_ignore = [] if torch.cuda.is_available() else ['ops']\n",
        f"def pytest_ignore_collect(collection_path, config):\n    if {NO_CUDA}:\n        return True\n",
    ],
)
def test_a_conftest_file_can_keep_whole_files_from_machines(tmp_path: Path, conftest: str) -> None:
    assert needs(tmp_path, "def test_x(): pass\n", conftest) == {"*": "cuda"}


def test_what_an_option_alone_leaves_out_keeps_its_needs(tmp_path: Path) -> None:
    hook = (
        "def pytest_addoption(parser):\n    parser.addoption('--slow', action='store_true', default=False)\n"
        "def pytest_collection_modifyitems(config, items):\n    if config.getoption('--slow'):\n        return\n"
        "    for item in items:\n        item.add_marker(pytest.mark.skip(reason='only with --slow'))\n"
    )
    test = f"@pytest.mark.skipif({NO_CUDA}, reason='')\ndef test_x(): pass\n"
    assert needs(tmp_path, test, hook) == {"*": "cuda"}


def test_parameters_that_a_hook_makes_are_those_that_the_machine_has(tmp_path: Path) -> None:
    hook = (
        "def pytest_generate_tests(metafunc):\n    if 'device' in metafunc.fixturenames:\n"
        "        devices = ['cpu'] + (['cuda'] if torch.cuda.is_available() else [])\n"
        "        metafunc.parametrize('device', devices)\n"
    )
    assert needs(tmp_path, "def test_x(device): pass\ndef test_y(): pass\n", hook) == {"test_x[cuda]": "cuda"}


def test_a_test_without_a_row_on_this_machine_is_skipped_there(tmp_path: Path) -> None:
    test = "ROWS = [1, 2] if torch.xpu.is_available() else []\n@pytest.mark.parametrize('row', ROWS)\n"
    assert needs(tmp_path, f"{test}def test_x(row): pass\n") == {"*": "xpu"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", {}), (", only_for='cuda'", {"*": "cuda"}), (", only_for=('cuda', 'xpu')", {"*": "cuda or xpu"})],
)
def test_torchs_tests_by_device_need_the_devices_that_they_are_made_for(
    tmp_path: Path, given: str, expected: dict[str, str]
) -> None:
    test = (
        "from torch.testing._internal.common_device_type import instantiate_device_type_tests\n"
        "from torch.testing._internal.common_utils import TestCase\n"
        "class TestA(TestCase):\n    def test_x(self, device): pass\n"
        f"instantiate_device_type_tests(TestA, globals(){given})\n"
    )
    assert needs(tmp_path, test) == expected


MADE = "class TestA(unittest.TestCase): pass\ndef check(test, device): pass\n"
HELPER = """
def devices():
    return ["cpu"] + (["cuda:0"] if torch.cuda.is_available() else [])
def add_function_test(cls, name, func, devices):
    for device in devices:
        setattr(cls, name + "_" + device.replace(":", "_"), lambda self: func(self, device))
"""


@pytest.mark.parametrize(
    "test",
    [
        "for device in devices():\n    name = device.replace(':', '_')\n    setattr(TestA, f'test_x_{name}', check)\n",
        "add_function_test(TestA, 'test_x', check, devices=devices())\n",
        "import lab\nlab.register_test(TestA, 'test_x', check, devices=devices())\n",
    ],
)
def test_tests_that_a_module_makes_for_each_device_need_it(tmp_path: Path, test: str) -> None:
    (tmp_path / "helper.py").write_text(HEAD + HELPER)
    text = f"from helper import add_function_test, devices\n{MADE}{test}"
    assert needs(tmp_path, text) == {"TestA::test_x_cuda_0": "cuda"}


def test_classes_that_a_module_makes_for_each_device_need_it(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HEAD + HELPER)
    text = "from helper import devices\nfor place in devices():\n    name = f'Test{place[:4].upper()}'\n"
    text += "    globals()[name] = type(name, (unittest.TestCase,), {})\n"
    assert needs(tmp_path, text) == {"TestCUDA": "cuda"}

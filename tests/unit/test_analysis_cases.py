"""Needs case by case: parameters, fixtures, classes, inheritance, helpers, mocks and whole files."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile
from dt_action.model.hardware import FileNeeds

HEAD = "import sys, unittest\nfrom unittest import mock\nimport pytest, torch\n"


def analyze(root: Path, source: str, others: dict[str, str] | None = None) -> FileNeeds:
    files = {"tests/test_it.py": HEAD + dedent(source)} | {
        name: HEAD + dedent(text) for name, text in (others or {}).items()
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return StaticAnalyzer(root=root).analyze([TestFile(path="tests/test_it.py")])["tests/test_it.py"]


def told(needs: FileNeeds) -> dict[str, str]:
    return {name: str(requirement) for name, requirement in needs.cases.items()}


NEEDS = "needs = pytest.mark.skipif(not torch.cuda.is_available(), reason='')\n"


def test_a_marked_row_is_needed_by_its_case_alone(tmp_path: Path) -> None:
    source = NEEDS + "@pytest.mark.parametrize('d', ['cpu', pytest.param('cuda', marks=needs)])\ndef test_x(d): pass\n"
    needs = analyze(tmp_path, source)
    assert told(needs) == {"test_x[cuda]": "cuda"}
    assert needs.of("test_x[cpu]").needs_nothing


def test_ids_are_joined_as_pytest_joins_them(tmp_path: Path) -> None:
    source = """
        @pytest.mark.parametrize("n", [1, True, None, 2.5])
        @pytest.mark.parametrize("d", ["cpu", "cuda"])
        def test_x(d, n):
            if d == "cuda" and not torch.cuda.is_available():
                pytest.skip("no")
    """
    assert set(told(analyze(tmp_path, source))) == {
        "test_x[cuda-1]",
        "test_x[cuda-True]",
        "test_x[cuda-None]",
        "test_x[cuda-2.5]",
    }


def test_a_row_that_exists_only_beside_the_device_is_needed_by_its_case(tmp_path: Path) -> None:
    source = """
        DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])

        @pytest.mark.parametrize("d", DEVICES)
        def test_x(d): assert torch.ones(1, device=d)
    """
    assert told(analyze(tmp_path, source)) == {"test_x[cuda]": "cuda"}


def test_each_of_several_rows_beside_devices_needs_its_own(tmp_path: Path) -> None:
    source = """
        DEVICES = [pytest.param("cpu", id="cpu")]
        if torch.cuda.is_available():
            DEVICES.append(pytest.param("cuda:0", id="cuda"))
        if torch.backends.mps.is_available():
            DEVICES.append(pytest.param("mps:0", id="mps"))
        if torch.xpu.is_available():
            DEVICES.append(pytest.param("xpu:0", id="xpu"))

        @pytest.mark.parametrize("d", DEVICES)
        def test_x(d): pass
    """
    assert told(analyze(tmp_path, source)) == {"test_x[cuda]": "cuda", "test_x[mps]": "mps", "test_x[xpu]": "xpu"}


def test_a_row_of_another_device_excludes_nothing_where_a_plain_machine_has_no_rows(tmp_path: Path) -> None:
    source = """
        DEVICES = ["cuda"] * torch.cuda.is_available() + ["xpu"] * torch.xpu.is_available()

        @pytest.mark.skipif(not torch.accelerator.is_available(), reason="")
        @pytest.mark.parametrize("d", ["cpu", *DEVICES])
        def test_x(d): pass
    """
    assert told(analyze(tmp_path, source)) == {"test_x[cuda]": "cuda", "test_x[xpu]": "xpu"}


def test_a_row_that_falls_back_needs_nothing(tmp_path: Path) -> None:
    source = """
        @pytest.mark.parametrize("d", ["cuda" if torch.cuda.is_available() else "cpu"])
        def test_x(d): assert torch.ones(1, device=d)
    """
    needs = analyze(tmp_path, source)
    assert not needs.cases
    assert needs.default.needs_nothing


def test_a_fixture_of_a_conftest_gates_its_case(tmp_path: Path) -> None:
    conftest = NEEDS + (
        "@pytest.fixture(params=[pytest.param(True, marks=needs), False], ids=['gpu', 'cpu'])\n"
        "def use_gpu(request): return request.param\n"
    )
    needs = analyze(tmp_path, "def test_x(use_gpu): pass\ndef test_y(): pass\n", {"tests/conftest.py": conftest})
    assert told(needs) == {"test_x[gpu]": "cuda"}


def test_an_autouse_fixture_gates_every_test(tmp_path: Path) -> None:
    conftest = (
        "@pytest.fixture(autouse=True)\ndef gate():\n    if sys.platform == 'win32': pytest.skip('')\n    yield\n"
    )
    needs = analyze(tmp_path, "def test_x(): pass\n", {"conftest.py": conftest})
    assert str(needs.of("test_x")) == "on darwin or linux"


def test_a_module_mark_and_a_module_skip_gate_the_file(tmp_path: Path) -> None:
    marked = analyze(tmp_path / "a", NEEDS + "pytestmark = [needs]\ndef test_x(): pass\n")
    skipped = analyze(
        tmp_path / "b",
        "if not torch.cuda.is_available():\n    pytest.skip('', allow_module_level=True)\ndef test_x(): pass\n",
    )
    assert (str(marked.default), str(skipped.default)) == ("cuda", "cuda")


def test_class_gates_and_set_up_hold_for_the_methods(tmp_path: Path) -> None:
    source = (
        NEEDS
        + """
@needs
class TestA:
    def test_x(self): pass

class B(unittest.TestCase):
    def setUp(self):
        if not torch.xpu.is_available():
            self.skipTest("no")
    def test_y(self): pass

def test_free(): pass
"""
    )
    assert told(analyze(tmp_path, source)) == {"TestA::test_x": "cuda", "B::test_y": "xpu"}


def test_inherited_tests_are_tests_of_the_heir(tmp_path: Path) -> None:
    base = "class Common:\n    def test_x(self):\n        torch.ones(1, device=self.device)\n"
    source = """
        from common import Common

        class TestHere(Common):
            device = "cpu"

        class TestThere(Common):
            device = "mps"
    """
    assert told(analyze(tmp_path, source, {"tests/common.py": base})) == {"TestThere::test_x": "mps"}


def test_a_helper_is_read_where_it_is_defined(tmp_path: Path) -> None:
    helper = """
        import functools

        def backend():
            if torch.cuda.is_available(): return "cuda", torch.cuda.device_count()
            if torch.xpu.is_available(): return "xpu", torch.xpu.device_count()
            return "cpu", 1

        where, count = backend()

        def need_many(test):
            return unittest.skipUnless(count > 1, "")(test)

        def not_on_amd(reason=None):
            def decorator(test):
                @functools.wraps(test)
                def wrapper(*args, **kwargs):
                    if torch.version.hip is not None:
                        pytest.skip(reason)
                    return test(*args, **kwargs)
                return wrapper
            return decorator
    """
    source = """
        from support.gates import need_many, not_on_amd, where

        @need_many
        def test_many(): pass

        @not_on_amd("because")
        def test_not_on_amd(): pass

        @pytest.mark.skipif(where == "cpu", reason="")
        def test_some(): pass
    """
    files = {"tests/support/gates.py": helper, "tests/support/__init__.py": ""}
    assert told(analyze(tmp_path, source, files)) == {
        "test_many": "2 cuda or 2 xpu",
        "test_not_on_amd": "not rocm",
        "test_some": "cuda or xpu",
    }


def test_helpers_that_import_each_other_end(tmp_path: Path) -> None:
    files = {"tests/a.py": "from b import x\ny = x\n", "tests/b.py": "from a import y\nx = y\n"}
    source = "from a import y\n@pytest.mark.skipif(y, reason='')\ndef test_x(): pass\n"
    assert analyze(tmp_path, source, files).of("test_x").needs_nothing


def test_a_known_decorator_needs_no_definition(tmp_path: Path) -> None:
    source = """
        from somewhere import RunIf, require_torch_multi_gpu, skipIfRocm, require_non_xpu, jtu

        @RunIf(min_cuda_gpus=2)
        def test_a(): pass

        @RunIf(mps=False)
        def test_b(): pass

        @require_torch_multi_gpu
        def test_c(): pass

        @skipIfRocm
        def test_d(): pass

        @require_non_xpu
        def test_e(): pass

        @jtu.run_on_devices("tpu")
        def test_f(): pass

        @jtu.skip_on_devices("tpu")
        def test_g(): pass
    """
    assert told(analyze(tmp_path, source)) == {
        "test_a": "2 cuda",
        "test_b": "not mps",
        "test_c": "2 cuda",
        "test_d": "not rocm",
        "test_e": "not xpu",
        "test_f": "tpu",
        "test_g": "not tpu",
    }


def test_a_mocked_device_is_no_device(tmp_path: Path) -> None:
    source = """
        @mock.patch("torch.cuda.is_available", return_value=True)
        @mock.patch("torch.cuda.device_count", return_value=2)
        def test_x(count, available):
            model().cuda()
    """
    assert analyze(tmp_path, source).of("test_x").needs_nothing


def test_a_browser_is_needed_by_its_fixture_and_its_driver(tmp_path: Path) -> None:
    source = """
        from selenium import webdriver

        def test_page(page): page.goto("/")

        def test_driver():
            driver = webdriver.Firefox()
    """
    assert told(analyze(tmp_path, source)) == {"test_page": "any", "test_driver": "firefox"}


def test_evidence_names_the_line_and_the_rule(tmp_path: Path) -> None:
    needs = analyze(tmp_path, NEEDS + "@needs\ndef test_x(): pass\ndef test_y(): pass\n")
    assert [str(evidence) for evidence in needs.of("test_x").evidence] == ["tests/test_it.py:5 (skipif)"]


def test_each_of_tests_that_are_alike_has_evidence_and_cases_of_its_own(tmp_path: Path) -> None:
    conftest = """
        @pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs)])
        def device(request): return request.param
    """
    source = "def test_x(page): pass\n\ndef test_y(page): pass\n\ndef test_p(device): pass\ndef test_q(device): pass\n"
    needs = analyze(tmp_path, source, {"tests/conftest.py": NEEDS + dedent(conftest)})
    assert [str(*needs.of(name).evidence) for name in ("test_x", "test_y")] == [
        "tests/test_it.py:4 (browser-fixture)",
        "tests/test_it.py:6 (browser-fixture)",
    ]
    assert told(needs) == {"test_x": "any", "test_y": "any", "test_p[cuda]": "cuda", "test_q[cuda]": "cuda"}


def test_a_class_that_takes_its_tests_back_does_so_for_itself_alone(tmp_path: Path) -> None:
    source = """
        class TestBase(unittest.TestCase):
            __test__ = torch.cuda.is_available()
            def test_x(self): pass

        class TestOther(unittest.TestCase):
            def test_x(self): pass
    """
    assert told(analyze(tmp_path, source)) == {"TestBase::test_x": "cuda"}


def test_what_hangs_on_software_alone_closes_nothing(tmp_path: Path) -> None:
    helper = """
        import os

        def is_internal():
            return not hasattr(torch.version, "git_version")

        if is_library_available():
            if "TEST_DEVICE" in os.environ:
                where = os.environ["TEST_DEVICE"]
            else:
                where = "cuda" if torch.cuda.is_available() else "cpu"
            if is_torch_at_least_2_1:
                where = "mps" if hasattr(torch.backends, "mps") and torch.backends.mps.is_available() else where
    """
    source = """
        from helper import is_internal, where

        @unittest.skipIf(not is_internal(), "")
        @unittest.skipIf(where == "cpu", "")
        def test_x(): pass
    """
    needs = analyze(tmp_path, source, {"tests/helper.py": helper})
    assert str(needs.of("test_x")) == "cuda or mps"
    assert not needs.findings


def test_the_order_of_files_does_not_matter(tmp_path: Path) -> None:
    gate = "@pytest.mark.skipif(not {}, reason='')\ndef test_x(): pass\n"
    sources = {
        "tests/a.py": "import b\nhere = (b.back, torch.cuda.is_available())[1]\n",
        "tests/b.py": "import a\nback = a.here\n",
        "tests/test_1.py": "from a import here\n" + gate.format("here"),
        "tests/test_2.py": "from b import back\n" + gate.format("back"),
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HEAD + text)
    files = [TestFile(path="tests/test_1.py"), TestFile(path="tests/test_2.py")]
    for order in (files, files[::-1]):
        needs = StaticAnalyzer(root=tmp_path).analyze(order)
        assert {str(found.of("test_x")) for found in needs.values()} == {"cuda"}

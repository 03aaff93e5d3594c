"""Time the analysis of many test files, cold and warm, on a tree that is made up on the spot.

    python benchmarks/analysis_speed.py [--files 6000] [--processes 2]

Every file is different: about 90 lines and 8 tests. One in four bears on hardware, in one of eight ways, through
decorators, bodies, fixtures, parameters and helpers that are imported; conftest files stand in every folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from dt_action.analysis import StaticAnalyzer
from dt_action.model.case import TestFile

HELPER = """
import pytest
import torch

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def require_two(test):
    return pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two GPUs")(test)


def device():
    return "cuda" if torch.cuda.is_available() else "cpu"
"""
CONFTEST = """
import pytest
import torch


needs = pytest.mark.skipif(not torch.cuda.is_available(), reason="")


@pytest.fixture(params=[pytest.param("cuda", marks=needs), "cpu"])
def where(request):
    return request.param


@pytest.fixture
def record(tmp_path):
    return {"path": str(tmp_path), "rows": list(range(20))}
"""
PLAIN = """
def test_{n}_{k}(record):
    rows = [row * {n} + {k} for row in record["rows"]]
    total = 0
    for row in rows:
        if row % 3 == 0:
            total += row
        else:
            total -= 1
    assert isinstance(total, int)
    assert sorted(rows) == rows
"""
BEARING = (
    "@needs_cuda\ndef test_{n}_{k}():\n    assert model_{n}().cuda() is not None\n",
    "@require_two\ndef test_{n}_{k}():\n    assert {k} >= 0\n",
    "def test_{n}_{k}(where):\n    assert make_{n}(where) == {k}\n",
    'def test_{n}_{k}():\n    if torch.version.hip is not None:\n        pytest.skip("no ROCm")\n    assert {n} >= 0\n',
    '@pytest.mark.parametrize("d", ["cpu", pytest.param("cuda", marks=needs_cuda)])\n'
    "def test_{n}_{k}(d):\n    assert d\n",
    "def test_{n}_{k}():\n    x = torch.ones({n}, device=device())\n    assert x.sum() == {n}\n",
    '@pytest.mark.skipif(sys.platform == "win32", reason="")\ndef test_{n}_{k}(record):\n    assert record\n',
    "class Test{n}x{k}(unittest.TestCase):\n    def setUp(self):\n        if not torch.xpu.is_available():\n"
    '            self.skipTest("no XPU")\n\n    def test_it(self):\n        self.assertTrue({n} + 1)\n',
)


def build(root: Path, count: int) -> list[TestFile]:
    """Write the tree; the test files in it."""
    files = []
    (root / "helpers.py").write_text(HELPER)
    for number in range(count):
        folder = root / f"tests/part_{number // 100:03}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
            (folder / "conftest.py").write_text(CONFTEST)
        bears = number % 4 == 0
        head = "import json\nimport sys\nimport unittest\n\nimport pytest\n"
        head += "import torch\n\nfrom helpers import device, needs_cuda, require_two\n" if bears else ""
        kinds = [BEARING[(number // 4 + k) % len(BEARING)] if bears and k % 2 else PLAIN for k in range(8)]
        path = folder / f"test_{number:05}.py"
        path.write_text(head + "\n\n".join(kind.format(n=number, k=k) for k, kind in enumerate(kinds)))
        files.append(TestFile(path=path.relative_to(root).as_posix()))
    return files


def main() -> int:
    """Print seconds cold and warm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=6000)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        files = build(root, options.files)
        for name in ("cold", "warm"):
            analyzer = StaticAnalyzer(root=root, cache_dir=root / ".cache", processes=options.processes)
            started = time.perf_counter()
            needs = analyzer.analyze(files)
            took = time.perf_counter() - started
            bearing = sum(bool(found.cases or not found.default.needs_nothing) for found in needs.values())
            print(f"{name}: {len(needs)} files in {took:.2f} s, {bearing} with needs, {options.processes} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How long discovery takes over many files, of which some are marked with a test type."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from dt_action.discovery import discover
from dt_action.options import Settings

PLAIN = "import pytest\n\n\ndef test_a():\n    assert True\n" * 20
MARKED = "import pytest\n\npytestmark = pytest.mark.stress\n" + PLAIN


def main() -> None:
    """Print the seconds of a first and of a second pass; the second finds the disk's cache warm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=6000)
    files = parser.parse_args().files
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for number in range(files):
            directory = root / f"package{number // 100}" / "tests"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"test_{number}.py").write_text(PLAIN if number % 10 else MARKED, encoding="utf-8")
        for turn in ("first", "second"):
            began = time.perf_counter()
            found = discover(Settings(root=root), {})
            print(f"{time.perf_counter() - began:7.3f} s  {turn} pass over {len(found)} files")


if __name__ == "__main__":
    main()

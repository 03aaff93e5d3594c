"""
Plugins of pytest, each in an environment of its own: what plain pytest tells of a suite, and what dt tells.

    matrix.py [--dt DT] [--together] [--table docs/plugins.md] [SUITE ...]

SUITE is the beginning of a folder's name in suites/; all without one. Environments are made where they are missing, and
kept in ~/.cache/dt-plugins. With --together every suite runs in one environment that has all plugins which can be
installed beside each other. Exits with 0 only where nothing differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import side_by_side  # noqa: E402
from support.side_by_side import Suite, compare, counted, environment_of, packages_of, suites_in  # noqa: E402

SUITES = HERE / "suites"


def chosen(names: Sequence[str]) -> list[Suite]:
    """The suites whose names begin with one of these; all for none."""
    return [suite for suite in suites_in(SUITES) if not names or any(suite.name.startswith(name) for name in names)]


def run_one(suite: Suite, dt: Sequence[str], python: Path) -> list[str]:
    """What differs; each line is printed as it is known."""
    with tempfile.TemporaryDirectory(prefix=f"dt-{suite.name}-") as scratch:
        result = compare(suite, python=python, dt=dt, scratch=Path(scratch))
    verdict = "DIFFERS" if result.differences else "same"
    print(f"{suite.name}: {verdict} ({counted(result.wanted.outcomes)}; exit {result.wanted.code})", flush=True)
    for line in result.differences:
        print("    " + line.replace("\n", "\n    "))
    if result.differences:
        for name, told in ((suite.like, result.wanted), ("dt", result.found)):
            print(f"    --- {name} ---\n" + "\n".join(f"    | {line}" for line in told.text.splitlines()[-25:]))
    return list(result.differences)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dt", default=str(Path(sys.executable).parent / "dt"))
    parser.add_argument("--cache", type=Path, default=side_by_side.CACHE)
    parser.add_argument("suites", nargs="*")
    args = parser.parse_args()
    differing = []
    suites = chosen(args.suites)
    for suite in suites:
        if suite.missing:
            print(f"{suite.name}: skipped, there is no {suite.missing} here")
            continue
        python = environment_of(packages_of(suite), args.cache)
        if run_one(suite, [args.dt], python):
            differing.append(suite.name)
    print(f"same {len(suites) - len(differing)}, differ {len(differing)}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

"""
Plugins of pytest, each in an environment of its own: what plain pytest tells of a suite, and what dt tells.

    matrix.py [--dt DT] [--table docs/plugins.md] [--suites FOLDER] [SUITE ...]

SUITE is the beginning of a suite's name; all without one. Environments are made where they are missing, and kept in
~/.cache/dt-plugins. --table writes what came out between the marks of that page. Exits with 0 only where nothing
differs.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import side_by_side  # noqa: E402
from support.side_by_side import (  # noqa: E402
    Comparison,
    Suite,
    compare,
    counted,
    environment_of,
    packages_of,
    suites_in,
)

SUITES = HERE / "suites"
BEGIN, END = "<!-- made by tests/plugins/matrix.py -->", "<!-- end -->"
HEADINGS = ("| plugin | what its suite does | compared with | there | dt |", "|---|---|---|---|---|")


def chosen(folder: Path, names: Sequence[str]) -> list[Suite]:
    """The suites whose names begin with one of these; all for none."""
    return [suite for suite in suites_in(folder) if not names or any(suite.name.startswith(name) for name in names)]


def run_one(suite: Suite, dt: Sequence[str], python: Path) -> Comparison:
    """Run both sides of a suite, and print what differs."""
    with tempfile.TemporaryDirectory(prefix=f"dt-{suite.name}-") as scratch:
        result = compare(suite, python=python, dt=dt, scratch=Path(scratch))
    verdict = "DIFFERS" if result.differences else "same"
    print(f"{suite.name}: {verdict} ({counted(result.wanted.outcomes)}; exit {result.wanted.code})", flush=True)
    for line in result.differences:
        print("    " + line.replace("\n", "\n    "))
    if result.differences:
        for name, told in ((suite.like, result.wanted), ("dt", result.found)):
            print(f"    --- {name} ---\n" + "\n".join(f"    | {line}" for line in told.text.splitlines()[-25:]))
    return result


def row(suite: Suite, python: Path, result: Comparison) -> str:
    """What came out, as a line of a table in Markdown."""
    script = "import sys, importlib.metadata as m; print(*(m.version(name) for name in sys.argv[1:]))"
    names = [re.split("[=<>]", package)[0] for package in suite.install]
    told = subprocess.run([str(python), "-c", script, *names], capture_output=True, text=True, check=True)
    plugins = ", ".join(f"{name} {version}" for name, version in zip(names, told.stdout.split(), strict=True))
    verdict = "**differs**" if result.differences else "same"
    outcomes = counted(result.wanted.outcomes) or "none"
    about = suite.about + (f" ({suite.note})" if suite.note else "")
    return f"| {plugins} | {about} | `{suite.like}` | {outcomes}; exit {result.wanted.code} | {verdict} |"


def write_table(page: Path, rows: Sequence[str]) -> None:
    """Put the rows between the marks of the page."""
    head, _, rest = page.read_text("utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    page.write_text("\n".join([head + BEGIN, *HEADINGS, *rows, END]) + tail, "utf-8")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dt", default=str(Path(sys.executable).parent / "dt"))
    parser.add_argument("--cache", type=Path, default=side_by_side.CACHE)
    parser.add_argument("--suites", type=Path, default=SUITES)
    parser.add_argument("--table", type=Path)
    parser.add_argument("names", nargs="*", metavar="SUITE")
    args = parser.parse_args()
    rows, differing = [], 0
    for suite in chosen(args.suites, args.names):
        if suite.missing:
            print(f"{suite.name}: skipped, there is no {suite.missing} here")
            continue
        python = environment_of(packages_of(suite), args.cache)
        result = run_one(suite, [args.dt], python)
        differing += bool(result.differences)
        rows.append(row(suite, python, result))
        if args.table is not None:
            write_table(args.table, rows)
    print(f"same {len(rows) - differing}, differ {differing}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())

"""
Badges from the results of earlier steps: `python -m dt_action.github_badge_generator`, and a class to extend.

    class WithDocs(BadgeGenerator):
        def badges(self):
            return [*super().badges(), Badge(name="docs", label="docs", message="built", color="blue")]

    sys.exit(main(sys.argv[1:], WithDocs))
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from dt_action.cli import guarded
from dt_action.errors import ConfigurationError
from dt_action.model.report import Badge
from dt_action.reports.badges import BadgeGenerator, Result, find_results, read_results
from dt_action.reports.formats import shields

__all__ = ["Badge", "BadgeGenerator", "Result", "find_results", "main", "read_results"]


def main(argv: Sequence[str], generator: Callable[[Sequence[Result]], BadgeGenerator] = BadgeGenerator) -> int:
    """Read results and write badges as the arguments say. Raises ConfigurationError, UnreadableError."""
    parser = argparse.ArgumentParser(prog="python -m dt_action.github_badge_generator", allow_abbrev=False)
    parser.add_argument("--input-dir", type=Path, help="a directory with test-results-*/results.json, or JSON reports")
    parser.add_argument("--output-dir", type=Path, default=Path(".github/badges"), help="where the badges go")
    parser.add_argument("--input", type=Path, nargs="+", help="files of results, instead of a directory")
    parser.add_argument("--output", type=Path, help="one file for one badge, instead of a directory")
    parser.add_argument("--type", default="", help="the test type that --input is of")
    options = parser.parse_args(argv)
    if bool(options.input_dir) == bool(options.input):
        raise ConfigurationError("expected one of --input-dir and --input")
    files = options.input or find_results(options.input_dir)
    results = [result for path in files for result in read_results(path, test_type=options.type)]
    made = generator(results)
    if options.output is None:
        for path in made.write(options.output_dir):
            print(f"badge: {path}")
        return 0
    label = options.type or "tests"
    badge = made.status_badge(options.output.stem, label, results)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = shields.svg(badge) if options.output.suffix == ".svg" else shields.endpoint(badge)
    options.output.write_bytes(content)
    print(f"badge: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(lambda: main(sys.argv[1:]), os.environ))

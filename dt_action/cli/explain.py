"""`dt explain PATH|NODE_ID [--json]`: what tests need, why, and whether they would run here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.analysis.explanation import explain
from dt_action.errors import DtError, ExitCode
from dt_action.model.hardware import Capability


def main(argv: Sequence[str], environ: Mapping[str, str], capability: Capability | None = None) -> int:
    """
    Print what the named tests need. Returns the exit code.

    `capability` is what this machine has, where the caller knows.
    """
    parser = argparse.ArgumentParser(prog="dt explain", description=__doc__)
    parser.add_argument("paths", nargs="+", metavar="PATH|NODE_ID", help="a test file, or the id of a test in one")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--root", type=Path, default=Path(environ.get("DT_ROOT", ".")), help="the project's folder")
    options = parser.parse_args(argv)
    try:
        text = explain(options.paths, root=options.root, capability=capability, as_json=options.json)
    except DtError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    return ExitCode.PASSED

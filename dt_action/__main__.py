"""`dt` and `python -m dt_action`: hands the command line and the environment to `dt_action.cli`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from dt_action.cli import main as run_command


def main() -> NoReturn:
    """Run the command that the command line names, and exit with its code."""
    sys.exit(run_command(sys.argv[1:], os.environ))


if __name__ == "__main__":
    main()

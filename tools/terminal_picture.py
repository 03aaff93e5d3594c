"""
What a command prints, as a picture for the README: an SVG of a terminal, with the command's own colours.

    cd examples/quickstart
    python ../../tools/terminal_picture.py ../../docs/images/dt-run.svg -- dt run tests/test_price.py tests/integration
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

COLUMNS = 120
LINE_PX, CHARACTER_PX, MARGIN_PX = 19, 8.05, 16
TEXT, GROUND, FAINT = "#d7dae0", "#1e222a", "#8b93a1"
COLORS = {31: "#f2777a", 32: "#8fd18b", 33: "#e6c07b", 34: "#6cb2f5", 35: "#d191e8", 36: "#67c7d1"}
_PART = re.compile(r"\x1b\[([\d;]*)m")
_OTHER_CODES = re.compile(r"\x1b\[[\d;?]*[A-Za-ln-z]|\x1b\][^\x07]*\x07")


def picture(command: str, output: str) -> str:
    """The SVG of a terminal in which `command` was entered and printed `output`, which may have ANSI colours."""
    lines = [row.rpartition("\r")[2] for row in _OTHER_CODES.sub("", output).rstrip().split("\n")]
    rows = [f'<tspan fill="{FAINT}">$ </tspan>{escape(command)}', *(row for line in lines for row in _rows(line))]
    height = 2 * MARGIN_PX + LINE_PX * len(rows)
    width = round(2 * MARGIN_PX + COLUMNS * CHARACTER_PX)
    drawn = "\n".join(
        f'<text x="{MARGIN_PX}" y="{MARGIN_PX + LINE_PX * number + 14}" xml:space="preserve">{row}</text>'
        for number, row in enumerate(rows)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(command)} and what it prints">\n'
        f'<rect width="100%" height="100%" rx="8" fill="{GROUND}"/>\n'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="13" fill="{TEXT}">\n'
        f"{drawn}\n</g>\n</svg>\n"
    )


def _rows(line: str) -> Iterator[str]:
    """The line as spans of one colour each, wrapped at the width of the terminal."""
    color, is_bold, row, left = "", False, "", COLUMNS
    for number, part in enumerate(_PART.split(line)):
        if number % 2:
            codes = [int(code or 0) for code in part.split(";")]
            if 0 in codes:
                color, is_bold = "", False
            is_bold = is_bold or 1 in codes
            color = next((COLORS[code] for code in codes if code in COLORS), color)
            continue
        style = (f' fill="{color}"' if color else "") + (' font-weight="bold"' if is_bold else "")
        rest = part
        while rest:
            if not left:
                yield row
                row, left = "", COLUMNS
            row += f"<tspan{style}>{escape(rest[:left], quote=False)}</tspan>"
            rest, left = rest[left:], left - min(left, len(rest))
    yield row


def main(argv: Sequence[str]) -> int:
    """Run the command behind `--` and write the picture of its output to the file before it."""
    target, dashes, *command = argv
    if dashes != "--" or not command:
        print("usage: terminal_picture.py FILE.svg -- COMMAND ...", file=sys.stderr)
        return 4
    environ = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)}
    done = subprocess.run(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", check=False
    )
    Path(target).write_text(picture(" ".join(command), done.stdout), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

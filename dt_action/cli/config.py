"""`dt config`: every option's value and its source; `--reference` writes docs/options.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dt_action.cli.arguments import Parser, settings_from
from dt_action.options import GROUPS, OPTIONS, Settings


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the settings that a run with these options would have. Secrets are masked."""
    parser = Parser("config", "show every option's value and where it came from")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--reference", action="store_true", help="all options as a page of Markdown")
    settings, given = settings_from(parser, argv, environ)
    if "reference" in given:
        print(reference(), end="")
    elif "json" in given:
        print(json.dumps(_listed(settings), indent=2))
    else:
        rows = _listed(settings)
        widths = [max(len(row[column]) for row in rows) for column in ("option", "value")]
        for row in rows:
            print(f"{row['option']:<{widths[0]}}  {row['value']:<{widths[1]}}  {row['source']}")
    return 0


def _listed(settings: Settings) -> list[dict[str, str]]:
    return [
        {
            "option": row.key,
            "value": row.show(getattr(settings, row.name)),
            "source": settings.told_by(row.name),
        }
        for row in OPTIONS
    ]


def reference() -> str:
    """The page docs/options.md."""
    lines = [
        "# Options",
        "",
        "Written by `make docs` from `dt_action/options/table.py`; a test compares them.",
        "",
        "The strongest source wins: the flag, then the action's input (`INPUT_*`), then the environment variable, then",
        "the key in `[tool.dt]` of `pyproject.toml` or in `dt.yml`, then the default. An empty variable counts as not",
        "given. Commas, spaces or lines separate the values of a list in a variable. `dt config` prints each value and",
        "its source.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
        lines += ["| flag | input | variables | value | default | |", "|---|---|---|---|---|---|"]
        for row in OPTIONS:
            if row.group == group:
                cells = (
                    f"`{row.flag}`" if row.has_flag else f"key `{row.key}` only",
                    f"`{row.input}`" if row.has_flag else "",
                    ", ".join(f"`{name}`" for name in row.variables_shown) if row.has_flag else "",
                    row.kind.expected,
                    row.show(row.default).strip("()"),
                    row.help,
                )
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"

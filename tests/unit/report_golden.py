"""The golden documents, made from the sample run. `python tests/unit/report_golden.py` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

from report_samples import sample_run

from dt_action import __version__
from dt_action.model.report import FORMATS
from dt_action.reports import reporting
from dt_action.reports.formats import shields
from dt_action.reports.renderers.console import Console

GOLDEN = Path(__file__).parent.parent / "golden"


def documents() -> dict[str, str]:
    """By file name. What changes with a release or with zlib's version is taken out."""
    made = reporting.publication(sample_run(), formats=FORMATS, timestamp="golden")
    texts = {f"report.{item.format}": item.content.decode() for item in made.documents}
    texts["summary.md"] = made.summary_markdown
    texts["console.txt"] = Console().text(sample_run())
    texts["console-color.txt"] = Console(color=True, width=60).text(sample_run())
    texts["badge.svg"] = shields.svg(made.badges[0]).decode()
    texts["annotations.txt"] = "\n".join(map(repr, made.annotations)) + "\n"
    texts["report.html"] = _without_changing_parts(texts["report.html"])
    return {name: text.replace(f'ersion": "{__version__}"', 'ersion": "VERSION"') for name, text in texts.items()}


def _without_changing_parts(page: str) -> str:
    page = re.sub(r"(<style>|<script>|base64\">)[\s\S]*?(</style>|</script>)", r"\1...\2", page)
    return re.sub(r"'sha256-[^']+'", "'sha256-...'", page)


if __name__ == "__main__":
    for name, text in documents().items():
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="\n")

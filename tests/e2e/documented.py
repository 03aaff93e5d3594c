"""The blocks of code that the documentation tells people to copy, as it prints them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs"


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in a language, from top to bottom."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def workflows(page: str) -> list[str]:
    """The blocks that are whole workflows of GitHub: they begin with the name of their file."""
    return [block for block in blocks(page, "yaml") if block.startswith("# .github/workflows/")]

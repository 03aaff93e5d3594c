from __future__ import annotations

import pytest
from report_golden import GOLDEN, documents

MADE = documents()


def test_there_is_a_golden_file_for_each_document() -> None:
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted(MADE)


@pytest.mark.parametrize("name", sorted(MADE))
def test_the_document_is_what_it_was(name: str) -> None:
    golden = (GOLDEN / name).read_text(encoding="utf-8")
    assert MADE[name] == golden, "if the change is meant: python tests/unit/report_golden.py, and read the diff"

"""How much of a change the tests ran."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.judging.coverage_data import patch_of, shard_data_files, shard_data_name
from dt_action.model.coverage import Coverage, MissedLines

LINES = {"pkg/a.py": (frozenset({1, 2, 3}), frozenset({7, 8})), "pkg/b.py": (frozenset({1}), frozenset())}


def test_only_changed_statements_count() -> None:
    changed = {"pkg/a.py": frozenset({2, 3, 4, 8}), "README.md": frozenset({1})}
    patch = patch_of(LINES, changed, "c")
    assert (patch.statements, patch.covered) == (3, 2)
    assert patch.missed == (MissedLines(path="pkg/a.py", lines=(8,)),)
    assert patch.percent == pytest.approx(200 / 3)


def test_a_change_without_statements_is_covered() -> None:
    assert patch_of(LINES, {"README.md": frozenset({1})}, "c").percent == 100.0


lines = st.frozensets(st.integers(1, 9))


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(lines, lines)), st.dictionaries(st.sampled_from("abcd"), lines)
)
def test_a_patch_counts_every_changed_statement_once(measured: dict, changed: dict) -> None:
    disjoint = {path: (ran, missed - ran) for path, (ran, missed) in measured.items()}
    patch = patch_of(disjoint, changed, "c")
    told = {(item.path, line) for item in patch.missed for line in item.lines}
    statements = {
        (path, line)
        for path, (ran, missed) in disjoint.items()
        for line in (ran | missed) & changed.get(path, lines_none)
    }
    assert patch.statements == len(statements)
    assert told <= statements
    assert patch.covered == len(statements) - len(told)
    assert 0.0 <= patch.percent <= 100.0


lines_none: frozenset[int] = frozenset()


def test_percent_is_of_statements_and_branches() -> None:
    assert Coverage(statements=3, covered=3, branches=1, covered_branches=0).percent == 75.0
    assert Coverage(statements=0, covered=0).percent == 100.0


def test_the_data_of_shards_is_found_among_their_artifacts(tmp_path: Path) -> None:
    for index in (2, 1):
        folder = tmp_path / f"artifact-{index}" / "test_reports"
        folder.mkdir(parents=True)
        (folder / shard_data_name(index, 2)).write_bytes(b"")
        (folder / "coverage.xml").write_bytes(b"")
    assert [path.name for path in shard_data_files(tmp_path)] == [
        "coverage-shard-1-of-2.data",
        "coverage-shard-2-of-2.data",
    ]

"""Coverage data of slots, workers and shards to one result: totals, documents, and how much of a change was run."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.coverage import Coverage, MissedLines, Patch, TypeCoverage

TOOL = Path(__file__).parent.parent / "runner" / "coverage_documents.py"
DOCUMENTS = {"xml": "coverage.xml", "lcov": "coverage.lcov", "json": "coverage.json", "html": "coverage_html"}
"""The name of each document in the output directory; `xml` is Cobertura, `html` a directory."""

DATA_NAME = "coverage.data"
JOINED_DATA_NAME = "coverage-shard-joined.data"
SHARD_GLOB = "coverage-shard-*.data"
_TIMEOUT_S = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """
    What data files say together. `lines` holds, by file relative to the root, the lines that ran and those that did
    not; `coverage` is None where no line of the project was measured. `written` are the documents.
    """

    coverage: Coverage | None
    lines: Mapping[str, tuple[frozenset[int], frozenset[int]]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    written: tuple[Path, ...] = ()


def shard_data_name(index: int, count: int) -> str:
    """The name of the data file that a shard leaves in its output directory, for `shard_data_files` to find."""
    return f"coverage-shard-{index}-of-{count}.data"


def shard_data_files(directory: Path) -> tuple[Path, ...]:
    """
    The data files of shards, or of whole runs, anywhere under a directory into which artifacts were downloaded.

    Links are not followed: the artifacts may be a stranger's.
    """
    found = (path for glob in (SHARD_GLOB, DATA_NAME) for path in directory.rglob(glob))
    return tuple(sorted(path for path in found if path.is_file() and not path.is_symlink()))


def combine(  # noqa: PLR0913 - what goes into the documents
    data_files: Iterable[Path],
    *,
    root: Path,
    python: str,
    output_dir: Path,
    formats: Sequence[str] = tuple(DOCUMENTS),
    name: str = DATA_NAME,
    workspaces: Sequence[str] = (),
    has_contexts: bool = False,
    types: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Combined:
    """
    Combine data files into the file `name` in `output_dir`, and write documents beside it.

    `python` must have coverage.py; the tests' own interpreter has the project's plugins and its syntax. `root` is
    where the project's sources and settings lie; `workspaces` are directories of the same project on other machines,
    in their own spelling. `types` has the test files of each test type. The data files stay as they are.

    Raises ConfigurationError where coverage.py is missing or refuses, UnreadableError where there is no data.
    """
    files = [str(path) for path in data_files]
    if not files:
        raise UnreadableError("no coverage data was found", hint="did any test run, and to its end?")
    output_dir.mkdir(parents=True, exist_ok=True)
    documents = {word: output_dir / DOCUMENTS[word] for word in formats}
    with tempfile.TemporaryDirectory(prefix="dt-coverage-") as scratch:
        combined, result = Path(scratch, "combined"), Path(scratch, "result.json")
        order = {
            "data_files": files,
            "combined": str(combined),
            "workspaces": [path.rstrip("/\\") for path in workspaces],
            "documents": {word: str(path.absolute()) for word, path in documents.items()},
            "contexts": has_contexts,
            "types": {name: list(paths) for name, paths in types.items()},
            "result": str(result),
        }
        _run_tool(python, order, root)
        shutil.copyfile(combined, output_dir / name)
        found = json.loads(result.read_bytes())
    written = [output_dir / name, *documents.values()] if found["totals"] else [output_dir / name]
    return Combined(
        coverage=_coverage(found["totals"], found["types"], found["ran"]),
        lines={
            path.replace("\\", "/"): (frozenset(ran), frozenset(missed))
            for path, (ran, missed) in found["lines"].items()
        },
        warnings=tuple(found["warnings"]),
        written=tuple(written),
    )


def with_patch(combined: Combined, changed: Mapping[str, frozenset[int]], base: str) -> Coverage | None:
    """The coverage, with what of it concerns the changed lines of each file since `base`."""
    coverage = combined.coverage
    return None if coverage is None else replace(coverage, patch=patch_of(combined.lines, changed, base))


def patch_of(
    lines: Mapping[str, tuple[frozenset[int], frozenset[int]]], changed: Mapping[str, frozenset[int]], base: str
) -> Patch:
    """
    How much of the changed statements ran. A changed line that holds no statement does not count, nor does a file
    that was not measured (a document, a test where tests are left out).
    """
    covered, missed = 0, []
    for path in sorted(changed.keys() & lines.keys()):
        ran, not_run = lines[path]
        covered += len(ran & changed[path])
        if hit := not_run & changed[path]:
            missed.append(MissedLines(path=path, lines=tuple(sorted(hit))))
    statements = covered + sum(len(item.lines) for item in missed)
    return Patch(base=base, statements=statements, covered=covered, missed=tuple(missed))


def _coverage(
    totals: Mapping[str, Any] | None, types: Mapping[str, Mapping[str, Any]], ran: Mapping[str, Sequence[str]]
) -> Coverage | None:
    if not totals:
        return None
    by_type = (
        TypeCoverage(
            test_type=name,
            covered=part.get("covered_lines", 0),
            covered_branches=part.get("covered_branches", 0),
        )
        for name, part in sorted(types.items())
    )
    return Coverage(
        statements=totals["num_statements"],
        covered=totals["covered_lines"],
        branches=totals.get("num_branches", 0),
        covered_branches=totals.get("covered_branches", 0),
        by_type=tuple(by_type),
        ran={test_file: tuple(files) for test_file, files in ran.items()},
    )


def _run_tool(python: str, order: Mapping[str, Any], root: Path) -> None:
    try:
        done = subprocess.run(
            [python, str(TOOL)],
            cwd=root,
            input=json.dumps(order),  # not an argument: a run of many processes has many files
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"the coverage data could not be combined with {python}: {error}") from error
    if done.returncode == 0:
        return
    said = done.stderr.strip() or "nothing"
    if "coverage cannot be imported" in said:
        raise ConfigurationError(
            f"combining coverage data needs coverage.py, and {python} has none; it said: {said}",
            hint=f"install it: {python} -m pip install coverage (or distributed-testing[coverage], for dt's own)",
        )
    raise ConfigurationError(f"coverage.py could not combine the data; it said:\n{said}", hint="see docs/coverage.md")

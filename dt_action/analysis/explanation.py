"""Tells what tests need, why, where they would run, and why not here: the text and the JSON of `dt explain`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dt_action.analysis.analyzer import StaticAnalyzer
from dt_action.analysis.codec import encode_requirement
from dt_action.analysis.explicit import PathRule
from dt_action.errors import ConfigurationError
from dt_action.model.case import TestFile
from dt_action.model.hardware import Capability, FileNeeds, Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is told of one case, or of a whole file where `name` is empty."""

    name: str
    requirement: Requirement
    why_not_here: str


_NO_ROWS: Mapping[str, str] = {}


def explain(
    paths: Sequence[str],
    *,
    root: Path,
    capability: Capability | None = None,
    as_json: bool = False,
    path_rules: Sequence[PathRule] = (),
    vocabulary: Mapping[str, str] = _NO_ROWS,
) -> str:
    """
    What the tests that `paths` name need: files or node ids, relative to `root`.

    `capability` is this machine's; None leaves out what would run here. `vocabulary` are the project's own
    rows. Raises ConfigurationError for a path that is not there.
    """
    asked: dict[str, list[str]] = {}
    problems = []
    for path in paths:
        file, _, name = path.partition("::")
        if not (root / file).is_file():
            problems.append(_not_found(path, root))
        asked.setdefault(Path(file).as_posix(), []).append(name)
    if problems:
        raise ConfigurationError.of_all(problems)
    analyzer = StaticAnalyzer(root=root, path_rules=path_rules, vocabulary=vocabulary)
    needs = analyzer.analyze([TestFile(path=file) for file in asked])
    told = [(needs[file], _lines(needs[file], names, capability)) for file, names in asked.items()]
    if as_json:
        return json.dumps([_as_data(found, lines) for found, lines in told], indent=2)
    return "\n\n".join(_as_text(found, lines, is_local=capability is not None) for found, lines in told)


def _not_found(path: str, root: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path!r} names no file under {root}; expected a test file or a node id",
        hint="give a path such as tests/test_it.py, or tests/test_it.py::test_name",
    )


def _lines(needs: FileNeeds, names: Sequence[str], capability: Capability | None) -> list[Line]:
    if "" in names:
        wanted = {"": needs.default, **needs.cases}
    else:
        wanted = {}
        for name in names:
            wanted[name] = needs.of(name)
            wanted |= {key: found for key, found in needs.cases.items() if key.startswith((f"{name}[", f"{name}::"))}
    return [
        Line(
            name=name,
            requirement=requirement,
            why_not_here=capability.why_not(requirement) if capability else "",
        )
        for name, requirement in wanted.items()
    ]


def _as_text(needs: FileNeeds, lines: Sequence[Line], *, is_local: bool) -> str:
    return "\n".join([needs.path, *_body(needs, lines, is_local=is_local)])


def _body(needs: FileNeeds, lines: Sequence[Line], *, is_local: bool) -> Iterator[str]:
    for line in lines:
        label = line.name or ("other tests" if needs.cases else "every test")
        by = "the scheduler sees to it" if line.requirement.enforced else "the test skips itself elsewhere"
        yield f"  {label}: needs {line.requirement}" + ("" if line.requirement.needs_nothing else f"; {by}")
        yield from (f"    {extra}" for extra in _extras(line.requirement))
        yield from (f"    because of {evidence}" for evidence in line.requirement.evidence)
        if is_local:
            yield f"    not here: {line.why_not_here}" if line.why_not_here else "    would run here"
    yield from (f"  warning: {finding.message}, {finding.evidence}" for finding in needs.findings)


def _extras(requirement: Requirement) -> Iterator[str]:
    if requirement.exclusive:
        yield f"alone with {', '.join(sorted(requirement.exclusive))}"
    if requirement.priority:
        yield f"priority {requirement.priority}"
    if requirement.timeout_s is not None:
        yield f"timeout {requirement.timeout_s:g} s"


def _as_data(needs: FileNeeds, lines: Sequence[Line]) -> Mapping[str, Any]:
    return {
        "path": needs.path,
        "tests": [
            {
                "name": line.name,
                "needs": str(line.requirement),
                "requirement": encode_requirement(line.requirement),
                "evidence": [
                    {"file": item.file, "line": item.line, "rule": item.rule} for item in line.requirement.evidence
                ],
                "why_not_here": line.why_not_here,
            }
            for line in lines
        ],
        "findings": [
            {
                "file": finding.evidence.file,
                "line": finding.evidence.line,
                "rule": finding.evidence.rule,
                "message": finding.message,
            }
            for finding in needs.findings
        ],
    }

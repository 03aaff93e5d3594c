"""Needs to and from JSON, for the cache and for worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dt_action.model.hardware import Clause, DeviceNeed, Evidence, FileNeeds, Finding, Requirement


def encode(needs: FileNeeds) -> dict[str, Any]:
    """Plain values for `json`."""
    return {
        "path": needs.path,
        "default": encode_requirement(needs.default),
        "cases": {name: encode_requirement(requirement) for name, requirement in needs.cases.items()},
        "findings": [[*_encode_evidence(finding.evidence), finding.message] for finding in needs.findings],
    }


def decode(data: Mapping[str, Any]) -> FileNeeds:
    """The inverse of `encode`. Raises KeyError, TypeError or ValueError for anything else."""
    return FileNeeds(
        path=data["path"],
        default=decode_requirement(data["default"]),
        cases={name: decode_requirement(inner) for name, inner in data["cases"].items()},
        findings=tuple(
            Finding(evidence=_decode_evidence(evidence), message=message) for *evidence, message in data["findings"]
        ),
    )


def encode_requirement(requirement: Requirement) -> dict[str, Any]:
    """Plain values for `json`; what is empty is left out."""
    whole = {
        "all_of": [[_encode_need(need) for need in clause.any_of] for clause in requirement.all_of],
        "excludes": sorted(requirement.excludes),
        "browser": requirement.browser,
        "platforms": sorted(requirement.platforms),
        "labels": sorted(requirement.labels),
        "min_memory_bytes": requirement.min_memory_bytes,
        "exclusive": sorted(requirement.exclusive),
        "priority": requirement.priority,
        "timeout_s": requirement.timeout_s,
        "enforced": requirement.enforced,
        "evidence": [_encode_evidence(item) for item in requirement.evidence],
    }
    return {name: value for name, value in whole.items() if value}


def decode_requirement(data: Mapping[str, Any]) -> Requirement:
    """The inverse of `encode_requirement`."""
    return Requirement(
        all_of=tuple(Clause(any_of=tuple(_decode_need(need) for need in clause)) for clause in data.get("all_of", ())),
        excludes=frozenset(data.get("excludes", ())),
        browser=data.get("browser", ""),
        platforms=frozenset(data.get("platforms", ())),
        labels=frozenset(data.get("labels", ())),
        min_memory_bytes=data.get("min_memory_bytes", 0),
        exclusive=frozenset(data.get("exclusive", ())),
        priority=data.get("priority", 0),
        timeout_s=data.get("timeout_s"),
        enforced=data.get("enforced", False),
        evidence=tuple(_decode_evidence(item) for item in data.get("evidence", ())),
    )


def _encode_need(need: DeviceNeed) -> list[Any]:
    return [need.kind, need.count, need.memory_bytes, sorted(need.features)]


def _decode_need(data: list[Any]) -> DeviceNeed:
    kind, count, memory_bytes, features = data
    return DeviceNeed(kind=kind, count=count, memory_bytes=memory_bytes, features=frozenset(features))


def _encode_evidence(evidence: Evidence) -> list[Any]:
    return [evidence.file, evidence.line, evidence.rule, evidence.text]


def _decode_evidence(data: list[Any]) -> Evidence:
    file, line, rule, text = data
    return Evidence(file=file, line=line, rule=rule, text=text)

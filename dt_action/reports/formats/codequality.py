"""GitLab's Code Quality report: the artifact with which failing tests appear beside the lines of a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dt_action.model.report import Annotation

SEVERITIES = {"failure": "major", "warning": "minor", "notice": "info"}


def write(annotations: Sequence[Annotation]) -> bytes:
    """
    A JSON array without a byte order mark (https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format).

    A remark's fingerprint leaves out its line, so that it stays the same remark when code above it moves.
    """
    from hashlib import sha256

    seen: dict[str, int] = {}
    issues = []
    for remark in annotations:
        if not remark.path:  # GitLab can show a remark beside a line only
            continue
        key = f"{remark.path}\0{remark.title}\0{remark.level}"
        seen[key] = seen.get(key, 0) + 1
        issues.append(
            {
                "description": f"{remark.title}: {remark.message}" if remark.message else remark.title,
                "check_name": f"dt-{remark.level}",
                "fingerprint": sha256(f"{key}\0{seen[key]}".encode("utf-8", "replace")).hexdigest(),
                "severity": SEVERITIES[remark.level],
                "location": {"path": remark.path, "lines": {"begin": max(remark.line, 1)}},
            }
        )
    return (json.dumps(issues, indent=1) + "\n").encode("ascii")

"""GitLab's Code Quality report: the artifact with which failing tests appear beside the lines of a merge request."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dt_action.model.report import Annotation
from dt_action.reports.formats import fingerprints

SEVERITIES = {"failure": "major", "warning": "minor", "notice": "info"}


def write(annotations: Sequence[Annotation]) -> bytes:
    """
    A JSON array without a byte order mark (https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format).
    """
    issues = [
        {
            "description": f"{remark.title}: {remark.message}" if remark.message else remark.title,
            "check_name": f"dt-{remark.level}",
            "fingerprint": fingerprint,
            "severity": SEVERITIES[remark.level],
            "location": {"path": remark.path, "lines": {"begin": max(remark.line, 1)}},
        }
        for remark, fingerprint in fingerprints.on_lines(annotations)
    ]
    return (json.dumps(issues, indent=1) + "\n").encode("ascii")

"""SARIF 2.1.0: failing tests beside the lines of code, in GitHub's code scanning, Azure DevOps and editors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import quote

from dt_action import __version__
from dt_action.model.report import Annotation
from dt_action.reports.formats import fingerprints

LEVELS = {"failure": "error", "warning": "warning", "notice": "note"}
RULES = {"failure": "a test failed", "warning": "a test or its setting needs a look", "notice": "worth knowing"}
MOST_RESULTS = 25_000
"""GitHub refuses a file with more of them in a run (docs.github.com, "SARIF support for code scanning")."""


def write(annotations: Sequence[Annotation]) -> bytes:
    """One run with a result for each remark that stands on a line, the first `MOST_RESULTS` of them."""
    results = [
        {
            "ruleId": f"dt-{remark.level}",
            "level": LEVELS[remark.level],
            "message": {"text": f"{remark.title}: {remark.message}" if remark.message else remark.title},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": quote(remark.path.replace("\\", "/")), "uriBaseId": "%SRCROOT%"},
                        "region": {"startLine": max(remark.line, 1)},
                    }
                }
            ],
            "partialFingerprints": {"dtTest/v1": fingerprint},
        }
        for remark, fingerprint in fingerprints.on_lines(annotations)
    ][:MOST_RESULTS]
    rules = [
        {"id": f"dt-{level}", "shortDescription": {"text": text}, "defaultConfiguration": {"level": LEVELS[level]}}
        for level, text in RULES.items()
    ]
    driver = {"name": "distributed-testing", "semanticVersion": __version__, "rules": rules}
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }
    return (json.dumps(log, indent=1) + "\n").encode("ascii")

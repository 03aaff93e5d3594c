"""What a run gives to later steps of a CI job: small named scalars, the same on every service."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dt_action.model.report import FORMATS, Publication
from dt_action.model.run import Run

NAMES = (
    "conclusion",
    "total",
    "passed",
    "failed",
    "skipped",
    "flaky",
    "duration",
    "coverage",
    "report_dir",
    *(f"report_{row.output}" for row in FORMATS.values() if row.output),
)
"""The outputs of a run, in the order in which they are documented. `duration` is in seconds, `coverage` in percent."""


def outputs_of(run: Run, publication: Publication, output_dir: str) -> dict[str, str]:
    """The outputs by name; empty where there is nothing to say."""
    totals = run.totals()
    outputs = dict.fromkeys(NAMES, "")
    outputs |= {
        "conclusion": run.conclusion(),
        "total": str(totals.total),
        "passed": str(totals.passed + totals.xpassed),
        "failed": str(totals.failing),
        "skipped": str(totals.skipped + totals.xfailed),
        "flaky": str(totals.flaky),
        "duration": f"{run.makespan_s:.1f}",
        "coverage": f"{run.coverage.percent:.1f}" if run.coverage else "",
        "report_dir": output_dir,
    }
    for document in publication.documents:
        name = f"report_{FORMATS[document.format].output}"
        if outputs.get(name) == "":
            outputs[name] = f"{output_dir.rstrip('/')}/{document.name}"
    return outputs


def dotenv(outputs: Mapping[str, str]) -> str:
    """
    The outputs as `DT_RESULT_NAME=value` lines, as GitLab's `artifacts:reports:dotenv` and a Jenkinsfile read them.

    GitLab takes neither quotes, comments nor blank lines, and at most 5 KiB; an empty value is left out.
    """
    lines = [f"DT_RESULT_{name.upper()}={_plain(value)}" for name, value in outputs.items() if value]
    return "".join(f"{line}\n" for line in lines)


def _plain(value: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", value)[:300]

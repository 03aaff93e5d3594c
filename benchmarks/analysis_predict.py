"""Predict the hardware that labelled test files need, in the corpus's own format, from checkouts of their repositories.

    python benchmarks/analysis_predict.py LABELS.jsonl CHECKOUTS > predictions.jsonl
    python benchmarks/analysis_predict.py LABELS.jsonl CHECKOUTS --baseline > baseline.jsonl

CHECKOUTS holds one folder per repository, `owner/name`, at the labelled commit. `--baseline` predicts by the
regular expressions of the older guide, for comparison. Files whose bytes differ from the label are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dt_action.analysis.inference import FileInference, TestNeeds, infer
from dt_action.analysis.project import Project, UnreadableError
from dt_action.analysis.requirement import Needs
from dt_action.model.hardware import Requirement

ACCELERATORS = {"cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu"}
BASELINE = {
    "cuda": r"torch\.cuda|\bcuda\b|nvidia",
    "rocm": r"rocm|\bhip\b",
    "mps": r"\bmps\b",
    "xpu": r"\bxpu\b",
    "hpu": r"\bhpu\b|habana",
    "npu": r"\bnpu\b",
    "tpu": r"\btpu\b|torch_xla",
    "openvino": r"openvino",
    "qualcomm": r"\bqnn\b|qualcomm",
    "webgpu": r"webgpu|wgpu",
    "webnn": r"webnn",
    "browser": r"selenium|playwright",
}


def kinds_of(requirement: Requirement) -> set[str]:
    """A clause of several makes is `gpu`, no single make being needed."""
    kinds = set()
    for clause in requirement.all_of:
        names = {need.kind for need in clause.any_of}
        kinds.add(names.pop() if len(names) == 1 else "gpu")
    kinds.discard("cpu")
    return kinds | ({"browser"} if requirement.browser else set())


def parts_of(test: TestNeeds) -> Iterator[Needs]:
    """The needs of each case of a test."""
    if test.cases:
        yield from (case.needs for case in test.cases)
    else:
        yield test.common


def predict(inference: FileInference) -> dict[str, Any]:
    """The prediction for a file."""
    requires: set[str] = set()
    excludes: set[str] = set(inference.whole.requirement.excludes)
    counts = [0]
    by_case: list[set[str]] = []
    for test in inference.tests:
        excludes |= test.common.requirement.excludes
        for needs in parts_of(test):
            if needs.never_runs:
                continue
            by_case.append(kinds_of(needs.requirement))
            requires |= by_case[-1]
            if any(gate.rule == "param-mark" for gate in needs.gates):
                excludes |= needs.requirement.excludes
            counts += [
                need.count for clause in needs.requirement.all_of for need in clause.any_of if need.kind != "cpu"
            ]
    if not inference.tests:
        by_case = [kinds_of(inference.whole.requirement)]
        requires = set(by_case[0])
    return {
        "requires": sorted(requires),
        "whole_file": sorted(whole(by_case)),
        "excludes": sorted((excludes - ACCELERATORS) | {"gpu"} if excludes >= ACCELERATORS else excludes),
        "min_devices": max(counts) or None,
    }


def whole(by_case: list[set[str]]) -> set[str]:
    """What every case needs; a make implies `gpu`."""
    if not by_case:
        return set()
    accelerators = {"cuda", "rocm", "mps", "xpu", "hpu", "npu", "tpu", "gpu"}
    shared = set.intersection(*by_case)
    if not shared & accelerators and all(kinds & accelerators for kinds in by_case):
        shared.add("gpu")
    return shared


def baseline(text: str) -> dict[str, Any]:
    """Every kind whose word occurs in the file, needed by all of it."""
    kinds = sorted(kind for kind, pattern in BASELINE.items() if re.search(pattern, text, re.IGNORECASE))
    return {"requires": kinds, "whole_file": kinds, "excludes": [], "min_devices": None}


def main() -> int:
    """Predict for every label whose file is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("checkouts", type=Path)
    parser.add_argument("--baseline", action="store_true")
    options = parser.parse_args()
    projects: dict[str, Project] = {}
    left_out = 0
    for line in options.labels.read_text(encoding="utf-8").splitlines():
        label = json.loads(line)
        root = options.checkouts / label["repo"]
        path = root / label["path"]
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != label["sha256"]:
            left_out += 1
            continue
        if options.baseline:
            found = baseline(path.read_text(encoding="utf-8", errors="replace"))
        else:
            project = projects.setdefault(label["repo"], Project(root))
            try:
                found = predict(infer(project, project.read(label["path"])))
            except UnreadableError:
                found = {"requires": [], "whole_file": [], "excludes": [], "min_devices": None}
        print(json.dumps({"repo": label["repo"], "path": label["path"], **found}))
    print(f"{left_out} labelled files left out: absent, or other bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The oracle: which tests skip themselves on imagined machines, run for real, against what the analysis says.

    python benchmarks/analysis_oracle.py CHECKOUTS [LABELS.jsonl ...] [--show]

Each labelled file is collected by pytest, in a process of its own for each repository and machine: without an
accelerator, and with two of CUDA, ROCm or XPU. Packages that are not installed are stubs (`analysis_oracle_plugin.py`),
so no device is needed. A test agrees where the machines whose marks and decorators let it run are those on which the
analysis says that it can. Gates in bodies and fixtures are out of the oracle's sight: such tests are counted apart.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis_generality import LABELS, checked

from dt_action.analysis.inference import TestNeeds, infer
from dt_action.analysis.project import Project, UnreadableError
from dt_action.analysis.requirement import Needs

MACHINES = ("plain", "cuda", "rocm", "xpu")
IN_SIGHT = frozenset(
    {"skipif", "skipunless", "skip", "module-skip", "param-mark", "known-decorator", "helper", "generated-param",
     "conditional", "hook"}
)  # fmt: skip
"""Rules whose gates are closed before a test runs."""
TIMEOUT_S = 240
SOURCES = (".", "src", "python", "lib")
"""Where the project's own packages may lie."""


def collect(root: Path, paths: Iterable[str], machine: str) -> Mapping[str, Any]:
    """What pytest sees on a machine: by file and test whether it is skipped, and the files that do not load."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *(str(root / name) for name in SOURCES)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ORACLE_MACHINE": machine,
            "ORACLE_OUT": str(out),
        }
        command = [sys.executable, "-m", "pytest", "-p", "analysis_oracle_plugin", "-p", "no:cacheprovider", "-q"]
        command += ["-c", os.devnull, "--rootdir", ".", "--import-mode=importlib", "--continue-on-collection-errors"]
        for extra in ([], ["--noconftest"]):  # a conftest file that does not load ends the session
            if not out.exists():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run(
                        [*command, *extra, *paths],
                        cwd=root,
                        env=environ,
                        timeout=TIMEOUT_S,
                        capture_output=True,
                        check=False,
                    )
        return json.loads(out.read_text()) if out.exists() else {"seen": {}, "failed": {}}  # type: ignore[no-any-return]


def runs_on(seen: Mapping[str, bool], key: str) -> bool:
    """Whether a case of a test is not skipped."""
    return any(not skipped for name, skipped in seen.items() if name.partition("[")[0] == key)


def can_run(needs: Needs, machine: str) -> bool:
    """Whether the analysis lets a case run on a machine with two devices of compute capability 9.0."""
    if needs.never_runs or machine in needs.requirement.excludes:
        return False
    here = {"plain": set()}.get(machine, {machine, "gpu"})
    return all(
        any(need.kind == "cpu" or (need.kind in here and need.count <= 2) for need in clause.any_of)
        for clause in needs.requirement.all_of
    )


def judge(test: TestNeeds, seen: Mapping[str, Mapping[str, bool]]) -> str:
    """
    `agrees`, `out of sight`, `skipped everywhere`, or what the oracle saw and what the analysis says.

    What is skipped on every machine hangs on a package or an option, which the analysis takes to be as it should.
    """
    cases = [case.needs for case in test.cases] or [test.common]
    real = [machine for machine in MACHINES if runs_on(seen[machine], test.key)]
    said = [machine for machine in MACHINES if any(can_run(needs, machine) for needs in cases)]
    if "cuda" in real and "cuda" in said and "rocm" not in said:
        tells = any("rocm" in needs.requirement.excludes for needs in cases)
        real = real if tells else [machine for machine in real if machine != "rocm"]  # the usual reading of "cuda"
    if real == said:
        return "agrees"
    if not real:
        return "skipped everywhere"
    rules = {gate.rule for needs in cases for gate in needs.gates}
    if set(said) < set(real) and not rules <= IN_SIGHT:
        return "out of sight"
    return f"runs on {'+'.join(real) or 'nothing'}, said {'+'.join(said) or 'nothing'}"


def main() -> int:
    """Print how many files could be run, how many tests agree, and the disagreements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path)
    parser.add_argument("labels", type=Path, nargs="*", default=[LABELS])
    parser.add_argument("--show", action="store_true", help="name the tests that disagree, and why files do not load")
    options = parser.parse_args()
    rows = [json.loads(line) for path in options.labels for line in path.read_text(encoding="utf-8").splitlines()]
    here = checked(rows, options.checkouts)
    files = Counter[str]()
    tests = Counter[str]()
    for repo in sorted({row["repo"] for row in here}):
        root = options.checkouts / repo
        paths = sorted({row["path"] for row in here if row["repo"] == repo})
        found = {machine: collect(root, paths, machine) for machine in MACHINES}
        project = Project(root)
        ours = Counter[str]()
        for path in paths:
            seen = {machine: found[machine]["seen"].get(path) for machine in MACHINES}
            failed = next((found[m]["failed"][path] for m in MACHINES if path in found[m]["failed"]), "")
            if failed or None in seen.values():
                files["not loaded"] += 1
                if options.show:
                    print(f"    {path} does not load: {failed[:120]}")
                continue
            files["run"] += 1
            try:
                inference = infer(project, project.read(path))
            except UnreadableError:
                continue
            names = {name.partition("[")[0] for known in seen.values() for name in known or ()}
            for test in inference.tests:
                if test.key not in names:
                    continue
                verdict = judge(test, seen)  # type: ignore[arg-type]
                ours["disagrees" if verdict.startswith("runs") else verdict] += 1
                if options.show and verdict.startswith("runs"):
                    print(f"    {path}::{test.key} {verdict}")
        tests += ours
        print(f"{repo:36} {dict(ours)}")
    print(f"files: {dict(files)}; tests: {dict(tests)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

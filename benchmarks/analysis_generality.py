"""How well the analysis does on repositories that its vocabulary does not know: leave one repository out.

    python benchmarks/analysis_generality.py CHECKOUTS [LABELS.jsonl ...] [--show] [--known]

CHECKOUTS holds one folder per repository, `owner/name`, at the labelled commit (`git archive` of it will do). Without
LABELS, `labels.jsonl` beside this script is taken. Each repository is judged with the vocabulary but for the rows that
are at home there (`origin` in vocabulary.toml), so what is measured is the rules and not the rows written for the file.
Files that are absent, or whose bytes differ from the label, are left out and counted; with no file at all nothing is
measured and the exit code is 0, so that CI can run it anywhere. Labels of a confidence under 0.8 are left out.

`false needs` are files of which the label says that they need nothing, and the prediction that they need something.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis_predict import predict

from dt_action.analysis.inference import infer
from dt_action.analysis.project import Project, UnreadableError
from dt_action.analysis.vocabulary import built_in, without

KEYS = ("requires", "whole_file", "excludes")
LABELS = Path(__file__).with_name("labels.jsonl")
NOTHING: Mapping[str, Any] = {"requires": [], "whole_file": [], "excludes": [], "min_devices": None}


@dataclass
class Score:
    """Hits, false alarms and misses over (file, kind) pairs by key; files, exact ones, and false needs among plain."""

    hits: dict[str, list[int]] = field(default_factory=lambda: {key: [0, 0, 0] for key in KEYS})
    files: int = 0
    exact: int = 0
    plain: int = 0
    false_needs: int = 0

    def add(self, label: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
        """Count a file; True where all of it is right."""
        right = True
        for key in KEYS:
            want, got = set(label[key]), set(found[key])
            for place, pairs in enumerate((want & got, got - want, want - got)):
                self.hits[key][place] += len(pairs)
            right = right and want == got
        self.files += 1
        self.exact += right
        if not label["requires"]:
            self.plain += 1
            self.false_needs += bool(found["requires"])
        return right

    def f1(self, key: str) -> float | None:
        """F1 of a key; None where neither labels nor predictions have any."""
        true, false, lost = self.hits[key]
        return 2 * true / (2 * true + false + lost) if true + false + lost else None

    def line(self, name: str) -> str:
        """One row of the table."""
        told = "  ".join(f"{key} {'   -' if (f1 := self.f1(key)) is None else f'{f1:.3f}'}" for key in KEYS)
        return f"{name:36} {self.files:4} files  {told}  exact {self.exact / max(1, self.files):.3f}"


def checked(rows: Iterable[Mapping[str, Any]], root: Path) -> list[Mapping[str, Any]]:
    """The sure labels whose file is there, byte for byte."""
    return [
        row for row in rows if row.get("confidence", 1.0) >= 0.8 and _is_there(root / row["repo"] / row["path"], row)
    ]


def _is_there(path: Path, row: Mapping[str, Any]) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]


def judge(repo: str, rows: Iterable[Mapping[str, Any]], root: Path, *, leave_out: bool, show: bool) -> Score:
    """The score of one repository, with or without the rows that are at home there."""
    project = Project(root / repo, without(repo) if leave_out else built_in())
    score = Score()
    for row in rows:
        try:
            found = predict(infer(project, project.read(row["path"])))
        except UnreadableError:
            found = dict(NOTHING)
        if not score.add(row, found) and show:
            wrong = "; ".join(
                f"{key} want {row[key]} got {found[key]}" for key in KEYS if sorted(row[key]) != sorted(found[key])
            )
            print(f"    {row['path']} [{row.get('trap')}]: {wrong}")
    return score


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", type=Path)
    parser.add_argument("labels", type=Path, nargs="*", default=[LABELS])
    parser.add_argument("--show", action="store_true", help="name the files that differ")
    parser.add_argument("--known", action="store_true", help="with all rows, also those at home in the repository")
    options = parser.parse_args()
    rows = [json.loads(line) for path in options.labels for line in path.read_text(encoding="utf-8").splitlines()]
    here = checked(rows, options.checkouts)
    print(f"{len(rows)} labels, {len(here)} sure ones whose file is here")
    started = time.process_time()
    scores = {}
    for repo in sorted({row["repo"] for row in here}):
        of_repo = [row for row in here if row["repo"] == repo]
        scores[repo] = judge(repo, of_repo, options.checkouts, leave_out=not options.known, show=options.show)
        print(scores[repo].line(repo))
    if not scores:
        return 0
    took = time.process_time() - started
    whole = Score()
    for score in scores.values():
        whole.files, whole.exact = whole.files + score.files, whole.exact + score.exact
        whole.plain, whole.false_needs = whole.plain + score.plain, whole.false_needs + score.false_needs
        for key in KEYS:
            whole.hits[key] = [one + other for one, other in zip(whole.hits[key], score.hits[key], strict=True)]
    print(whole.line("all together"))
    told = sorted((f1, repo) for repo, score in scores.items() if (f1 := score.f1("requires")) is not None)
    mean = sum(f1 for f1, _ in told) / len(told)
    print(f"requires F1 by repository: mean {mean:.3f}, worst {told[0][0]:.3f} ({told[0][1]})")
    print(f"false needs: {whole.false_needs} of {whole.plain} files that need nothing")
    print(f"{1000 * took / whole.files:.1f} ms of processor time a file, helpers included")
    return 0


if __name__ == "__main__":
    sys.exit(main())

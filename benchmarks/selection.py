"""
What `--changed-since` takes of a real project for mutants of its sources, and what it misses.

    python benchmarks/selection.py PROJECT --python VENV/bin/python --source src/pkg [--mutants 34] [--commits 25]

PROJECT is a clone whose tests pass in that interpreter (3.12 or newer, with pytest). It is copied; nothing in it is
changed. For each mutant all tests run under plain pytest for the truth: which cases fail, and which had to run (those
that entered the changed function; all where it also runs outside of tests). Then `dt plan --changed-since HEAD` is
asked, and with --testmon and --impacted these pytest plugins of the same interpreter.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

TRUTH = """
import json, os, sys, pytest
TARGET = os.environ.get("TRUTH_TARGET", "")
FILE, _, NAME = TARGET.partition("::")
told = {"outcomes": {}, "seconds": {}, "entered": [], "outside": not NAME}
case = ""
monitoring = sys.monitoring

def on_start(code, _):
    if code.co_filename != FILE or not (code.co_qualname == NAME or code.co_qualname.startswith(NAME + ".<locals>.<")):
        return monitoring.DISABLE
    if case:
        if case not in told["entered"]:
            told["entered"].append(case)
    else:
        told["outside"] = True

if NAME:
    monitoring.use_tool_id(3, "truth")
    monitoring.register_callback(3, monitoring.events.PY_START, on_start)
    monitoring.set_events(3, monitoring.events.PY_START)

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    global case
    case = item.nodeid
    yield
    case = ""

def pytest_runtest_logreport(report):
    bad = told["outcomes"].get(report.nodeid) in ("failed", "error")
    if not bad:
        told["outcomes"][report.nodeid] = "failed" if report.failed else report.outcome
    told["seconds"][report.nodeid] = told["seconds"].get(report.nodeid, 0.0) + report.duration

def pytest_collectreport(report):
    if report.failed:
        told["outcomes"][report.nodeid] = "failed"

def pytest_unconfigure():
    with open(os.environ["TRUTH_FILE"], "w") as file:
        json.dump(told, file)
"""

SWAPS: Mapping[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.GtE: ast.Lt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """A file with one change. `function` is the qualified name that it lies in, empty at the level of the module."""

    path: str
    function: str
    text: str
    line: int


@dataclass
class Tally:
    """What one tool took over all mutants, and what it missed."""

    cases: int = 0
    seconds: float = 0.0
    missed: int = 0
    missed_in: list[str] = field(default_factory=list)
    choosing_s: float = 0.0

    def add(self, cases: set[str], seconds: Mapping[str, float]) -> None:
        """These cases were taken."""
        self.cases += len(cases)
        self.seconds += sum(seconds[case] for case in cases)

    def miss(self, cases: set[str], where: str) -> None:
        """These cases fail, and were not taken."""
        if cases:
            self.missed += len(cases)
            self.missed_in.append(f"{where}: {', '.join(sorted(cases)[:2])}")


def mutants(root: Path, source: str, count: int, seed: int) -> list[Mutant]:
    """So many changes, each in another place, spread over the files by their size."""
    draw = random.Random(seed)
    places: list[tuple[Path, int]] = []
    for path in sorted((root / source).rglob("*.py")) if (root / source).is_dir() else [root / source]:
        count_here = sum(1 for _ in _places(ast.parse(path.read_bytes())))
        places += [(path, number) for number in range(count_here)]
    draw.shuffle(places)
    found = []
    for path, number in places:
        mutant = _mutant(root, path, number)
        if mutant is not None:
            found.append(mutant)
        if len(found) == count:
            break
    return found


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every node that can be changed, with the function that it lies in."""
    waiting: list[tuple[ast.AST, str, bool]] = [(tree, "", False)]
    while waiting:
        node, prefix, in_function = waiting.pop()
        name = prefix.removesuffix(".").removesuffix(".<locals>") if in_function else ""
        if (
            (isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in SWAPS)
            or (isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS)
            or (isinstance(node, ast.Return) and node.value is not None)
            or (isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, str))
        ):
            yield node, name
        for child in ast.iter_child_nodes(node):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside = child in node.body
                within = f"{prefix}{node.name}.<locals>." if inside else prefix
                waiting.append((child, within, inside or in_function))
            elif isinstance(node, ast.ClassDef):
                waiting.append((child, f"{prefix}{node.name}.", in_function))
            else:
                waiting.append((child, prefix, in_function))


def _mutant(root: Path, path: Path, number: int) -> Mutant | None:
    tree = ast.parse(path.read_bytes())
    node, function = next(item for index, item in enumerate(_places(tree)) if index == number)
    line = getattr(node, "lineno", 0)
    if isinstance(node, (ast.BinOp, ast.BoolOp)):
        node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Compare):
        node.ops[0] = SWAPS[type(node.ops[0])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1  # type: ignore[operator]
    changed = _changed_text(path.read_text(), node)
    if changed is None:
        return None
    return Mutant(path=path.relative_to(root).as_posix(), function=function, text=changed, line=line)


def _changed_text(original: str, node: ast.AST) -> str | None:
    """The file with the source of one node replaced; None where that is not on one line, or changes nothing."""
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", -1)
    start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0)
    if first != last:
        return None
    lines = original.splitlines(keepends=True)
    row = lines[first - 1].encode()
    lines[first - 1] = (row[:start] + ast.unparse(node).encode() + row[end:]).decode()
    text = "".join(lines)
    try:
        is_same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(original))
    except SyntaxError:
        return None
    return None if is_same else text


class Bench:
    """A copy of a project, and the questions that are asked of it."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.root = scratch / "project"
        self._scratch = scratch
        (scratch / "plugin").mkdir()
        (scratch / "plugin/dt_truth.py").write_text(TRUTH)
        subprocess.run(["git", "clone", "-q", options.project, str(self.root)], check=True)
        for edit in options.write:
            name, _, text = edit.partition("=")
            (self.root / name).write_text(text.encode().decode("unicode_escape"))
        self.git("add", "-A", "-f")
        self.git("commit", "-q", "--allow-empty", "-m", "the benchmark's own settings")
        self._environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(self.root / path) for path in options.path])}
        self._environ["PYTHONDONTWRITEBYTECODE"] = "1"

    def git(self, *words: str) -> str:
        """What git says in the copy."""
        who = ["-c", "user.name=b", "-c", "user.email=b@b"]
        return subprocess.run(["git", *who, *words], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def truth(self, target: str = "") -> dict:
        """Outcomes and seconds of all cases under plain pytest, and which entered the target."""
        file = self._scratch / "truth.json"
        file.unlink(missing_ok=True)
        environ = {**self._environ, "TRUTH_FILE": str(file), "TRUTH_TARGET": target}
        environ["PYTHONPATH"] = f"{self._scratch / 'plugin'}{os.pathsep}{environ['PYTHONPATH']}"
        command = [
            self.options.python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "dt_truth",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:testmon",
        ]
        command += ["-p", "no:randomly", *self.options.pytest_args]
        try:
            subprocess.run(command, cwd=self.root, env=environ, capture_output=True, timeout=600, check=False)
            return json.loads(file.read_text())
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return {}

    def learn_testmon(self) -> None:
        """Let pytest-testmon see all tests once."""
        command = [self.options.python, "-m", "pytest", "-q", "--testmon", *self.options.pytest_args]
        subprocess.run(command, cwd=self.root, env=self._environ, capture_output=True, check=False)

    def dt(self, *words: str) -> tuple[str, float]:
        """What dt prints, and its processor time."""
        command = [sys.executable, "-m", "dt_action", words[0], "--python", self.options.python, *words[1:]]
        if self.options.pytest_args:
            command += ["--pytest-args", " ".join(self.options.pytest_args)]
        before = os.times()
        done = subprocess.run(command, cwd=self.root, env=self._environ, capture_output=True, text=True, check=False)
        after = os.times()
        if done.returncode not in (0, 1):
            print(done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout, after.children_user + after.children_system - before.children_user - before.children_system

    def taken_by(self, tool: str, cases: Sequence[str]) -> tuple[set[str], float]:
        """The cases that a tool takes for the change in the working tree, and the seconds that it thought."""
        if tool == "dt":
            return self._taken_by_dt(cases)
        if tool == "testmon":
            return self._taken_by_plugin("--testmon-nocollect")
        module = f"--impacted-module={self.options.module}"
        return self._taken_by_plugin("--impacted", module, "--impacted-git-mode=unstaged")

    def _taken_by_dt(self, all_cases: Sequence[str]) -> tuple[set[str], float]:
        told, seconds = self.dt("plan", "--json", "--changed-since", "HEAD")
        taken: set[str] = set()
        for item in json.loads(told)["selection"]["chosen"]:
            chosen = item.get("cases")
            taken.update(chosen or (case for case in all_cases if case.partition("::")[0] == item["path"]))
        return taken, seconds

    def _taken_by_plugin(self, *arguments: str) -> tuple[set[str], float]:
        """The cases that a pytest plugin would leave, by what it collects."""
        command = [self.options.python, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments]
        before = time.perf_counter()
        done = subprocess.run(
            [*command, *self.options.pytest_args],
            cwd=self.root,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return {line for line in done.stdout.splitlines() if "::" in line}, time.perf_counter() - before


class Truth:
    """What all cases do without a change, and which have to run, and fail, with one."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        base, again = bench.truth(), bench.truth()
        self.seconds: dict[str, float] = base["seconds"]
        unstable = {case for case, told in base["outcomes"].items() if again["outcomes"].get(case) != told}
        self._failing = {case for case, told in base["outcomes"].items() if told == "failed"} | unstable
        self.cases = [case for case in self.seconds if case not in unstable]

    def of(self, mutant: Mutant) -> tuple[set[str], set[str]] | None:
        """The cases that have to run, and those that fail; None where pytest did not end."""
        path = self._bench.root / mutant.path
        told = self._bench.truth(f"{path}::{mutant.function}" if mutant.function else "")
        if not told:
            return None
        bad = {case for case, outcome in told["outcomes"].items() if outcome == "failed"} - self._failing
        whole = {case for case in bad if "::" not in case}  # what could not be collected
        failing = {case for case in self.cases if case in bad or case.partition("::")[0] in whole or whole & {"", "."}}
        entered = self.cases if told["outside"] else [*told["entered"], *failing]
        return set(entered).intersection(self.cases), failing


def run(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Everything about one project."""
    bench = Bench(options, scratch)
    truth = Truth(bench)
    bench.dt("run", "--workers", "2", "--report-formats", "json", "--record", options.record)
    tools = {"dt": Tally(), **({"testmon": Tally()} if options.testmon else {})}
    if options.testmon:
        bench.learn_testmon()
    if options.impacted:
        tools["impacted"] = Tally()
    had, count = Tally(), 0
    for mutant in mutants(bench.root, options.source, options.mutants, options.seed):
        path = bench.root / mutant.path
        original = path.read_text()
        path.write_text(mutant.text)
        found = truth.of(mutant)
        if found is not None:
            count += 1
            needed, failing = found
            had.add(needed, truth.seconds)
            for name, tally in tools.items():
                taken, took_s = bench.taken_by(name, truth.cases)
                tally.choosing_s += took_s
                tally.add(taken.intersection(truth.cases), truth.seconds)
                tally.miss(failing - taken, f"{mutant.path}:{mutant.line} {mutant.function}")
                if options.verbose:
                    where = f"{mutant.path}:{mutant.line} {mutant.function or '(module)'}"
                    told = f"{len(failing)} fail, {len(needed)} had to run, {name} took {len(taken)}"
                    print(f"{where}: {told}", file=sys.stderr, flush=True)
        path.write_text(original)
    total, total_s = count * len(truth.cases), count * sum(truth.seconds[case] for case in truth.cases)
    report: dict[str, object] = {"project": Path(options.project).name, "mutants": count, "cases": len(truth.cases)}
    report["had to run"] = _shares(had, total, total_s)
    for name, tally in tools.items():
        report[name] = {
            **_shares(tally, total, total_s),
            "times what had to run": round(tally.seconds / had.seconds, 2) if had.seconds else None,
            "missed": tally.missed,
            "missed in": tally.missed_in[:5],
            "choosing_s": round(tally.choosing_s / max(count, 1), 2),
        }
    return report


def _shares(tally: Tally, total: int, total_s: float) -> dict[str, object]:
    share, share_s = 100 * tally.cases / max(total, 1), 100 * tally.seconds / max(total_s, 1e-9)
    return {"cases_percent": round(share, 1), "time_percent": round(share_s, 1)}


def main() -> None:
    """Print what came of one project, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project")
    parser.add_argument("--python", required=True)
    parser.add_argument("--source", required=True, help="folder or file to be mutated, in the project")
    parser.add_argument("--module", default="", help="the package's name, for --impacted")
    parser.add_argument("--mutants", type=int, default=34)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", default="auto")
    parser.add_argument("--path", action="append", default=[], help="a folder for PYTHONPATH, in the project")
    parser.add_argument("--write", action="append", default=[], help="NAME=TEXT: a file that the tests need")
    parser.add_argument("--testmon", action="store_true")
    parser.add_argument("--impacted", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--pytest-args", nargs="*", default=[])
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="dt-bench-"))
    try:
        print(json.dumps(run(options, scratch), indent=1))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()

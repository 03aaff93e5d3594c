"""`dt plan`: what would run and in which order, with types, requirements and expected seconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dt_action.app.shards import Shards
from dt_action.app.wiring import Wiring
from dt_action.cli.arguments import Parser, settings_with_pytest
from dt_action.errors import NoTestsError
from dt_action.model.change import Selection
from dt_action.model.plan import Plan, PlannedFile


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the plan of a run with these options; nothing is executed."""
    parser = Parser("plan", "show what would run, and in which order")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--matrix", action="store_true", help="as the matrix of a GitHub workflow")
    settings, given = settings_with_pytest(parser, argv, environ)
    # With --shard the plan file is what another job wrote; without, it is what this one writes.
    writes = settings.plan_file is not None and settings.shard is None
    planning = replace(settings, plan_file=None) if writes else settings
    wiring = Wiring(settings=planning, environ=environ, listener=lambda _: lambda _: None, say=_remark)
    files = wiring.discover()
    if not files:
        raise NoTestsError(
            "no test file was found", hint="name a directory with --test-dir, or files with --test-files"
        )
    plan = wiring.plan(files, wiring.analyze(files))
    if writes:
        Shards(settings, environ).save(plan)
    if "matrix" in given or environ.get("INPUT_COMMAND", "") == "plan":
        _tell_matrix(plan, wiring, environ)
    else:
        print(json.dumps(_as_json(plan), indent=2) if "json" in given else _as_table(plan))
    return 0


def _remark(line: str) -> None:
    print(line, file=sys.stderr)  # stdout has the plan, which may be JSON


def _tell_matrix(plan: Plan, wiring: Wiring, environ: Mapping[str, str]) -> None:
    """Print the matrix, and set it as the step's output `matrix` where there is one."""
    from dt_action.planning.matrix import legs, read_runners

    settings = wiring.settings
    found = legs(
        plan,
        shards=settings.shards,
        runners=read_runners(settings.runners),
        most_shards=wiring.shards.most,
        is_one_fleet=settings.fleet == "coordinator",
        pythons=settings.python_versions,
    )
    attempt = wiring.provider().build().attempt
    matrix = json.dumps({"include": [leg.as_json(attempt) for leg in found]}, ensure_ascii=True, separators=(",", ":"))
    print(matrix)
    if environ.get("GITHUB_OUTPUT"):
        from dt_action.providers.github_commands import append_outputs

        append_outputs(Path(environ["GITHUB_OUTPUT"]), {"matrix": matrix, "attempt": str(attempt)})


def _as_json(plan: Plan) -> dict[str, object]:
    return {
        "shard": str(plan.shard) if plan.shard else None,
        "digest": plan.digest,
        "expected_s": round(plan.expected_s, 3),
        "files": [
            {
                "path": file.path,
                "test_type": file.test_type,
                "requirements": _requirements(file),
                "expected_s": round(file.expected_s, 3),
                "is_measured": file.is_measured,
                **({"portion": [file.portion.start, file.portion.end, file.portion.of]} if file.portion else {}),
                **({"cases": list(file.chosen)} if file.chosen else {}),
            }
            for file in plan.files
        ],
        **({"selection": _selection(plan.selection)} if plan.selection else {}),
    }


def _selection(selection: Selection) -> dict[str, object]:
    """What was chosen, and why; what was left out, and why not."""
    return {
        "asked": selection.asked,
        "chosen": [
            {"path": item.path, "reason": item.reason, **({"cases": dict(item.cases)} if item.cases else {})}
            for item in selection.chosen
        ],
        "left_out": [{"path": path, "reason": selection.why_not(path)} for path in selection.left_out],
    }


def _as_table(plan: Plan) -> str:
    rows = [("expected", "type", "file", "needs")]
    for file in plan.files:
        guess = "" if file.is_measured else "~"
        needs = "; ".join(_requirements(file))
        part = file.portion
        path = f"{file.path} ({100 * (part.end - part.start) // part.of} %)" if part else file.path
        rows.append((f"{guess}{file.expected_s:.1f} s", file.test_type or "-", path, needs))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        f"{expected:>{widths[0]}}  {kind:<{widths[1]}}  {path:<{widths[2]}}  {needs}".rstrip()
        for expected, kind, path, needs in rows
    ]
    share = f" in share {plan.shard}" if plan.shard else ""
    count = len(plan.files)
    if plan.selection:
        lines += _of_selection(plan.selection)
    lines.append(f"{count} file{'s' * (count != 1)}{share}, {plan.expected_s:.1f} s of tests expected (~: a guess)")
    return "\n".join(lines)


def _of_selection(selection: Selection) -> list[str]:
    left_out = len(selection.left_out)
    told = [f"  {item.path}: {item.reason}" for item in selection.chosen]
    return ["", f"chosen by {selection.asked}, {left_out} file{'s' * (left_out != 1)} left out", *told, ""]


def _requirements(file: PlannedFile) -> list[str]:
    """What tests of the file need, in words, each once; empty where they need nothing."""
    needed = (file.needs.default, *file.needs.cases.values())
    return list(dict.fromkeys(str(requirement) for requirement in needed if not requirement.needs_nothing))

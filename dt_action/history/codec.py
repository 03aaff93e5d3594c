"""Records of runs as bytes, and back; what is read is checked, since a cache may hold anything."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from dt_action.errors import UnreadableError
from dt_action.history.records import RunRecord, Seen
from dt_action.model.case import OUTCOMES, Outcome

VERSION = 2
TICKS_PER_S = 10_000

_LETTERS: dict[Outcome, str] = {
    "passed": "p",
    "failed": "f",
    "error": "e",
    "skipped": "s",
    "xfailed": "x",
    "xpassed": "X",
    "timeout": "t",
    "crashed": "c",
}
_OUTCOMES: dict[str, tuple[Outcome, bool]] = {
    **{letter: (outcome, False) for outcome, letter in _LETTERS.items()},
    "P": ("passed", True),
    "S": ("skipped", True),
    "w": ("xfailed", True),
    "W": ("xpassed", True),
}
_FLAKY_LETTERS = {outcome: letter for letter, (outcome, is_flaky) in _OUTCOMES.items() if is_flaky}


def encode(records: Iterable[RunRecord]) -> bytes:
    """
    `{"version": 2, "cases": [id, ...], "runs": [{..., "seen": [index, ...], "outcomes": "pps", "ticks": [...]}]}`.

    A case's id is written once however many runs know it; a tick is 0.1 ms. The same records give the same bytes. A run
    that knows what files its tests ran has `"ran": {"files": [path, ...], "by": {test file: [index, ...]}}`; one that
    knows what they entered, `"recorded"`, see `recordings.pack`; `"whole"` has files whose tests must stay together,
    `"single"` those by fixtures that only one process can have.
    """
    records = tuple(records)
    ids = sorted({case for record in records for case in record.cases})
    index = {case: number for number, case in enumerate(ids)}
    runs = []
    for record in records:
        cases = sorted(record.cases.items())
        runs.append(
            {
                "id": record.id,
                "commit": record.commit,
                "branch": record.branch,
                "environment": record.environment,
                "attempt": record.attempt,
                "started_at": record.started_at,
                "default": record.is_default_branch,
                "seen": [index[case] for case, _ in cases],
                "outcomes": "".join(map(_letter, (seen for _, seen in cases))),
                "ticks": [round(seen.duration_s * TICKS_PER_S) for _, seen in cases],
                **_files_that_ran(record),
                **({"recorded": record.recorded} if record.recorded else {}),
                **({"whole": list(record.whole)} if record.whole else {}),
                **({"single": {name: list(files) for name, files in record.single.items()}} if record.single else {}),
            }
        )
    return json.dumps({"version": VERSION, "cases": ids, "runs": runs}, separators=(",", ":")).encode("ascii")


def _files_that_ran(record: RunRecord) -> dict[str, Any]:
    if not record.ran:
        return {}
    files = sorted({file for ran in record.ran.values() for file in ran})
    index = {file: number for number, file in enumerate(files)}
    by = {test_file: [index[file] for file in ran] for test_file, ran in sorted(record.ran.items())}
    return {"ran": {"files": files, "by": by}}


def decode(content: bytes) -> tuple[RunRecord, ...]:
    """The records that `encode` was given. Raises UnreadableError for all else, in one sentence."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"expected JSON, found something else ({str(error)[:100]})") from None
    if not isinstance(document, dict):
        raise UnreadableError(f"expected an object, found {type(document).__name__}")
    if document.get("version") != VERSION:
        raise UnreadableError(f"expected version {VERSION}, found {document.get('version')!r:.60}")
    ids = _list_of(document, "cases", str)
    runs = _list_of(document, "runs", dict)
    return tuple(_record(run, ids) for run in runs)


def _record(run: dict[str, Any], ids: list[str]) -> RunRecord:
    seen, ticks = _list_of(run, "seen", int), _list_of(run, "ticks", int)
    outcomes = _value(run, "outcomes", str)
    if not len(seen) == len(ticks) == len(outcomes):
        raise UnreadableError(f"expected as many outcomes and ticks as cases ({len(seen)})")
    if seen and not (min(seen) >= 0 and max(seen) < len(ids)):
        raise UnreadableError(f"expected indices of the {len(ids)} cases, found one beyond")
    if unknown := set(outcomes).difference(_OUTCOMES):
        raise UnreadableError(f"expected letters of outcomes, found {min(unknown)!r}")
    if ticks and (min(ticks) < 0 or max(ticks) > 1 << 53):
        raise UnreadableError("expected ticks from 0 to 2^53")
    return RunRecord(
        id=_value(run, "id", str),
        commit=_value(run, "commit", str),
        branch=_value(run, "branch", str),
        environment=_value(run, "environment", str),
        attempt=_value(run, "attempt", int),
        started_at=_number(run, "started_at"),
        is_default_branch=_value(run, "default", bool),
        cases={
            ids[number]: Seen(_OUTCOMES[letter][0], tick / TICKS_PER_S, _OUTCOMES[letter][1])
            for number, letter, tick in zip(seen, outcomes, ticks, strict=True)
        },
        ran=_ran(run["ran"]) if "ran" in run else {},
        recorded=_value(run, "recorded", str) if "recorded" in run else "",
        whole=tuple(_list_of(run, "whole", str)) if "whole" in run else (),
        single=_single(_value(run, "single", dict)) if "single" in run else {},
    )


def _single(told: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(_list_of(told, name, str)) for name in told}


def _ran(told: Any) -> dict[str, tuple[str, ...]]:
    if type(told) is not dict:
        raise UnreadableError(f"expected an object at 'ran', found {type(told).__name__}")
    files, by = _list_of(told, "files", str), _value(told, "by", dict)
    ran: dict[str, tuple[str, ...]] = {}
    for test_file in by:
        numbers = _list_of(by, test_file, int)
        if numbers and not (min(numbers) >= 0 and max(numbers) < len(files)):
            raise UnreadableError(f"expected indices of the {len(files)} files, found one beyond")
        ran[test_file] = tuple(files[number] for number in numbers)
    return ran


def _letter(seen: Seen) -> str:
    plain = _LETTERS[seen.outcome]
    return _FLAKY_LETTERS.get(seen.outcome, plain) if seen.is_flaky else plain


def _value(holder: dict[str, Any], key: str, kind: type) -> Any:
    value = holder.get(key)
    if type(value) is not kind:
        raise UnreadableError(f"expected {kind.__name__} at {key!r}, found {type(value).__name__}")
    return value


def _number(holder: dict[str, Any], key: str) -> float:
    value = holder.get(key)
    if type(value) in (int, float):
        try:
            number = float(value)  # type: ignore[arg-type]
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise UnreadableError(f"expected a number at {key!r}, found {type(value).__name__}")


def _list_of(holder: dict[str, Any], key: str, kind: type) -> list[Any]:
    value = holder.get(key)
    if type(value) is not list or not all(map(_is(kind), value)):
        raise UnreadableError(f"expected a list of {kind.__name__} at {key!r}")
    return value


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda item: type(item) is kind


assert set(OUTCOMES) - {"lost"} == set(_LETTERS), "every outcome that a case can have is remembered"  # noqa: S101

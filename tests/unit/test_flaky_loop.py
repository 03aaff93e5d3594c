"""From what records say of flaky tests to what stands in the quarantine."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.cli import main
from dt_action.history import RunRecord, Seen, merged
from dt_action.history.codec import encode
from dt_action.history.flaky import flaky_tests
from dt_action.judging.proposal import Proposal, edited, propose, ranked
from dt_action.judging.quarantine import Entry, parse_quarantine

DAY_S = 86_400.0
START = date(2026, 1, 1)
EPOCH = date(1970, 1, 1)
TODAY = START + timedelta(days=30)
FLAKY, OFTEN, BROKEN, GOOD = (f"tests/test_a.py::test_{name}" for name in ("flaky", "often", "broken", "good"))


def at(day: date) -> float:
    return (day - EPOCH).days * DAY_S


def commit_of_day(number: int, *, repaired_on: int = 1000) -> RunRecord:
    """Day by day a commit on the main branch, whose failures are tried once more."""
    flaky = {FLAKY: number % 10 == 3, OFTEN: number % 3 == 0 and number < repaired_on}
    cases = {case: Seen("passed", 0.5, is_flaky) for case, is_flaky in flaky.items()}
    cases |= {BROKEN: Seen("failed", 0.1), GOOD: Seen("passed", 0.1)}
    when = at(START + timedelta(days=number))
    return RunRecord(id=str(number), commit=f"c{number}", started_at=when, is_default_branch=True, cases=cases)


def test_a_flaky_test_is_proposed_at_its_second_time_and_a_broken_one_never() -> None:
    """30 commits with 2 flaky tests and a broken one; what is proposed is taken up."""
    content, told, records = "", [], ()
    for number in range(30):
        records = merged(records, [commit_of_day(number)])
        quarantine = parse_quarantine(content.encode(), START + timedelta(days=number))
        proposal = propose(records, quarantine, lambda file: "@team")
        content = edited(content, proposal)
        told += [(number, line.partition(":")[0]) for line in proposal.lines()]
        told += [(number, entry.id.partition("::")[2]) for entry in proposal.added]
    assert [(number, what) for number, what in told if what.startswith("test_")] == [
        (3, "test_often"),  # commits 0 and 3
        (13, "test_flaky"),  # commits 3 and 13
    ]
    assert {entry.owner for entry in parse_quarantine(content.encode(), TODAY).entries} == {"@team"}


def test_what_passed_on_twenty_commits_is_taken_out_and_nothing_else() -> None:
    text = "# known\n" + "".join(f'- {{id: "{id}", reason: r, expires: 2027-01-01}}\n' for id in (OFTEN, FLAKY))
    records = merged(commit_of_day(number, repaired_on=6) for number in range(30))
    proposal = propose(records, parse_quarantine(text.encode(), TODAY))
    assert [(entry.id, why) for entry, why in proposal.removed] == [(OFTEN, "passed on the last 26 commits")]
    assert proposal.added == ()
    assert edited(text, proposal).splitlines() == [text.splitlines()[0], text.splitlines()[2]]


def test_an_entry_that_ended_is_renewed_while_its_test_is_flaky() -> None:
    text = f'- {{id: "{OFTEN}", reason: r, expires: 2026-01-15}}\n'
    records = merged(commit_of_day(number) for number in range(30))
    proposal = propose(records, parse_quarantine(text.encode(), TODAY))
    after = parse_quarantine(edited(text, proposal).encode(), TODAY)
    assert [entry.id for entry in after.entries] == [OFTEN, FLAKY]
    assert {entry.expires for entry in after.entries} == {TODAY + timedelta(days=30)}


def test_commits_count_per_environment_and_the_same_code_must_do_both() -> None:
    cases = {True: {FLAKY: Seen("passed", 1.0)}, False: {FLAKY: Seen("failed", 1.0)}}
    records = [
        RunRecord(id="1", commit="a", environment="linux", started_at=1, cases=cases[True]),
        RunRecord(id="2", commit="a", environment="mac", started_at=2, cases=cases[False]),
        RunRecord(id="3", commit="b", environment="mac", started_at=3, cases=cases[True]),
    ]
    assert list(flaky_tests(records)) == []
    again = RunRecord(id="4", commit="a", environment="mac", started_at=4, cases=cases[True])
    (found,) = flaky_tests([*records, again])
    assert (found.flaky, found.runs, found.environments, found.cost_s) == (1, 3, ("mac",), 2.0)
    assert (found.first_seen, found.last_seen) == (2, 4)


def test_the_test_that_hits_most_commits_is_the_first() -> None:
    records = [commit_of_day(number) for number in range(30)]
    assert [(item.id, item.flaky) for item in ranked(flaky_tests(records))] == [(OFTEN, 10), (FLAKY, 3)]


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=4), st.lists(st.text(), max_size=3))
def test_whatever_a_test_is_called_its_entry_is_read_again_beside_what_stood_there(
    names: list[str], comments: list[str]
) -> None:
    kept = "".join(f"# {' '.join(''.join(filter(str.isalnum, text)).split())}\n" for text in comments)
    kept += "- id: kept\n  reason: r  # why\n  expires: 2030-01-01\n"
    added = tuple(Entry(id=name.strip(), reason=name.strip(), expires=TODAY) for name in names)
    after = edited(kept, Proposal(added=added))
    assert after.startswith(kept)
    assert parse_quarantine(after.encode(), TODAY).entries[1:] == added


def test_a_list_in_one_line_is_written_anew() -> None:
    text = "[{id: a, reason: r, expires: 2030-01-01}, {id: b, reason: r, expires: 2030-01-01}]"
    entries = parse_quarantine(text.encode(), TODAY).entries
    after = edited(text, Proposal(removed=((entries[0], "passed"),)))
    assert parse_quarantine(after.encode(), TODAY).entries == entries[1:]


def test_the_commands_read_the_history_and_write_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cases = {FLAKY: Seen("passed", 0.5, is_flaky=True), BROKEN: Seen("failed", 0.5)}
    now = at(date.today())
    records = [RunRecord(id=str(n), commit=str(n), started_at=now - n, cases=cases) for n in (1, 2)]
    (tmp_path / ".dt_cache/history").mkdir(parents=True)
    (tmp_path / ".dt_cache/history/two.json").write_bytes(encode(records))
    assert main(["flaky"], {}) == 0
    assert "2 of 2     100.0%" in capsys.readouterr().out
    assert main(["flaky", "--json"], {}) == 0
    assert [item["id"] for item in json.loads(capsys.readouterr().out)] == [FLAKY]
    assert main(["quarantine", "propose", "--dry-run"], {}) == 0
    assert not (tmp_path / "dt.quarantine.yml").exists()
    assert main(["quarantine", "propose"], {}) == 0
    assert capsys.readouterr().out.count(f"add {FLAKY} until") == 2
    entries = parse_quarantine((tmp_path / "dt.quarantine.yml").read_bytes(), TODAY).entries
    assert [entry.id for entry in entries] == [FLAKY]
    assert main(["quarantine", "propose"], {}) == 0
    assert capsys.readouterr().out == "nothing to change\n"

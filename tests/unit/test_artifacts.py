"""Files that tests left: whatever they are called, they end up below one folder."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import HOSTILE, attempt, result

from dt_action.app.artifacts import Artifacts, folder_of, safe
from dt_action.model.case import Artifact
from dt_action.model.event import CaseStarted, Ended, Event, LeftBehind
from dt_action.model.run import Run
from dt_action.reports.redaction import Redactor

CASE = "tests/test_a.py::test_x[1/2]"


def artifacts(tmp_path: Path, *secrets: str) -> Artifacts:
    return Artifacts(tmp_path, "out", "artifacts_1", Redactor(secrets))


def piece(name: str, data: bytes = b"x", *, is_first: bool = True, case: str = CASE, tries: int = 1) -> LeftBehind:
    text = base64.b64encode(data).decode()
    return LeftBehind(case=case, slot="gw0", tries=tries, name=name, data=text, is_first=is_first)


def linked(left: Artifacts, *events: Event) -> Run:
    assert [*left.taken_from(iter(events))] == [event for event in events if not isinstance(event, LeftBehind)]
    return left.linked(Run(id="r", results=(result(CASE, attempt("failed")),)))


names = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        ["../../etc/passwd", "/etc/passwd", "C:\\x\\y", "a/../../b", "con", "NUL.txt", ".", "", "a\0b", *HOSTILE]
    ),
    st.lists(st.sampled_from(["..", ".", "a", "", "b c", "ü"]), max_size=20).map("/".join),
)


@given(names)
def test_a_name_leads_down_only_on_every_system(name: str) -> None:
    for kind in (PurePosixPath, PureWindowsPath):
        path = kind(safe(name))
        assert not path.is_absolute()
        assert not path.drive
        assert path.parts
        assert ".." not in path.parts
        assert all(len(part) <= 101 and not part.endswith((".", " ")) for part in path.parts)
    assert not any(character < " " for character in safe(name))


@given(st.lists(st.text(max_size=80), min_size=2, max_size=5, unique=True))
def test_every_test_has_a_folder_of_its_own(cases: list[str]) -> None:
    folders = [folder_of(case).casefold() for case in cases]
    assert len(set(folders)) == len(folders)
    assert all("/" not in folder and not folder.startswith(".") for folder in folders)


def test_pieces_become_a_file_that_is_linked_to_its_test(tmp_path: Path) -> None:
    run = linked(artifacts(tmp_path), piece("shots/a.png", b"one"), piece("shots/a.png", b" two", is_first=False))
    ((found,),) = (item.artifacts for item in run.results)
    assert (found.name, found.bytes) == ("shots/a.png", 7)
    assert (tmp_path / found.path).read_bytes() == b"one two"
    assert run.output_dir == "out"


def test_a_test_that_runs_again_leaves_its_files_anew_and_each_try_keeps_its_own(tmp_path: Path) -> None:
    run = linked(
        artifacts(tmp_path),
        piece("log", b"first, and longer"),
        piece("log", b"second"),
        piece("log", b"third", tries=2),
    )
    assert {item.name: item.bytes for item in run.results[0].artifacts} == {"log": 6, "try 2/log": 5}


def test_what_a_dead_process_left_belongs_to_the_test_that_it_was_running(tmp_path: Path) -> None:
    started = CaseStarted(case=CASE, worker="w", slot="gw0", at=0.0)
    run = linked(artifacts(tmp_path), started, piece("core", case=""))
    assert [item.name for item in run.results[0].artifacts] == ["core"]


def test_secrets_are_masked_in_text_and_binary_files_are_left_alone(tmp_path: Path) -> None:
    run = linked(
        artifacts(tmp_path, "hunter2hunter2"),
        piece("log", b"key=hunter2hunter2\n"),
        piece("bin", b"\xffhunter2hunter2"),
    )
    named = linked(artifacts(tmp_path, "hunter2hunter2"), piece("of hunter2hunter2.txt")).results[0].artifacts[0]
    assert "hunter2" not in named.path, "a report masks it there, and has to link to what is there"
    assert (tmp_path / named.path).is_file()
    found = {item.name: (tmp_path / item.path).read_bytes() for item in run.results[0].artifacts}
    assert found == {"log": b"key=***\n", "bin": b"\xffhunter2hunter2"}


def test_names_that_differ_in_case_or_collide_as_folder_and_file_are_all_kept(tmp_path: Path) -> None:
    told = ["a", "a/b", "x\\y", "x/y"]
    run = linked(artifacts(tmp_path), *(piece(name, name.encode()) for name in told))
    found = {item.name: (tmp_path / item.path).read_bytes() for item in run.results[0].artifacts}
    assert found == {name: name.encode() for name in told}


def test_what_cannot_be_written_is_told_and_costs_no_result(tmp_path: Path) -> None:
    (tmp_path / "artifacts_1").write_text("in the way")
    run = linked(artifacts(tmp_path), piece("a"))
    assert run.results[0].artifacts == ()
    assert "could not be kept" in run.notices[0].text


def test_notes_and_nonsense_are_no_files(tmp_path: Path) -> None:
    left = LeftBehind(case=CASE, slot="gw0", note="3 files were left out")
    bad = LeftBehind(case=CASE, slot="gw0", name="a", data="not base64!")
    run = linked(artifacts(tmp_path), left, bad)
    assert run.results[0].artifacts == ()
    assert run.notices[0].text == f"{CASE}: 3 files were left out"


def test_closing_the_events_closes_the_fleet(tmp_path: Path) -> None:
    closed = []

    def events() -> Iterator[Event]:
        try:
            yield CaseStarted(case=CASE, worker="w", slot="gw0", at=0.0)
            yield Ended(status="completed")
        finally:
            closed.append(True)

    taken = artifacts(tmp_path).taken_from(events())
    next(taken)
    taken.close()  # type: ignore[attr-defined]
    assert closed == [True]


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "link", "folder/link", "linked/inside", "a\0b"])
def test_a_strangers_report_brings_nothing_from_outside_of_its_folder(tmp_path: Path, path: str) -> None:
    part, outside = tmp_path / "part", tmp_path / "secret"
    (part / "folder").mkdir(parents=True)
    outside.mkdir()
    (outside / "inside").write_text("secret")
    (part / "link").symlink_to(outside / "inside")
    (part / "folder" / "link").symlink_to(outside / "inside")
    (part / "linked").symlink_to(outside)
    (part / "good").write_text("good")
    item = result(CASE, attempt("failed"))

    both = (Artifact(name="a", path=path, bytes=1), Artifact(name="b", path="good", bytes=1))
    run = Run(id="r", results=(replace(item, artifacts=both),))
    brought = artifacts(tmp_path / "out").brought(run, part)
    assert [(kept.name, (tmp_path / "out" / kept.path).read_text()) for kept in brought.results[0].artifacts] == [
        ("b", "good")
    ]

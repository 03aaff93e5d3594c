"""Stores of history: many writers, foreign files, and a bound."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from past_samples import result, run_of

from dt_action.history import DirectoryHistory, FileHistory, history_at
from dt_action.history.stores import COMPACT_FROM


def test_a_path_to_json_is_a_file_and_any_other_a_directory(tmp_path: Path) -> None:
    assert isinstance(history_at(tmp_path / "h.json"), FileHistory)
    assert isinstance(history_at(tmp_path / "h"), DirectoryHistory)


@pytest.mark.parametrize("name", ["h.json", "h"])
def test_what_is_recorded_is_known_to_the_next_run(tmp_path: Path, name: str) -> None:
    history_at(tmp_path / name).record(run_of(result("a.py::x", duration_s=2.0), id="1", at=1.0))
    history_at(tmp_path / name).record(run_of(result("b.py::y", "failed"), id="2", at=2.0))
    past = history_at(tmp_path / name).load()
    assert past.duration_s("a.py::x") == 2.0
    assert past.cases_of("b.py") == {"b.py::y": 0.01}
    assert past.failed_last() == {"b.py::y"}


@pytest.mark.parametrize("name", ["h.json", "h"])
def test_nothing_there_is_an_empty_past_without_a_warning(tmp_path: Path, name: str) -> None:
    told: list[str] = []
    assert history_at(tmp_path / name, warn=told.append).load().records == ()
    assert told == []


def test_many_files_become_one_and_no_run_is_lost(tmp_path: Path) -> None:
    store = DirectoryHistory(tmp_path)
    for number in range(COMPACT_FROM + 5):
        store.record(run_of(result("a.py::x"), id=f"r{number}", at=float(number)))
    assert len(list(tmp_path.glob("*.json"))) == 1 + 5
    assert len(store.load().records) == COMPACT_FROM + 5


def test_files_that_were_merged_before_are_merged_again_without_loss(tmp_path: Path) -> None:
    """As when two histories that share runs were put into one directory."""
    runs = [run_of(result("a.py::x"), id=f"r{number}", at=float(number)) for number in range(COMPACT_FROM)]
    for run in runs:
        DirectoryHistory(tmp_path / "one").record(run)
    for run in runs[:-1]:
        DirectoryHistory(tmp_path / "two").record(run)
    for path in (tmp_path / "two").iterdir():
        path.rename(tmp_path / "one" / path.name)
    DirectoryHistory(tmp_path / "one").record(runs[-1])
    assert len(list((tmp_path / "one").iterdir())) == 1
    assert len(DirectoryHistory(tmp_path / "one").load().records) == COMPACT_FROM


def test_writers_that_know_nothing_of_each_other_lose_no_run(tmp_path: Path) -> None:
    told: list[str] = []

    def write(writer: int) -> None:
        store = DirectoryHistory(tmp_path, told.append)
        for number in range(15):
            store.record(run_of(result("a.py::x"), id=f"{writer}-{number}", at=float(number)))
            assert {f"{writer}-{done}" for done in range(number + 1)} <= {run.id for run in store.load().records}

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(DirectoryHistory(tmp_path).load().records) == 4 * 15
    assert told == []


def test_foreign_and_corrupt_files_are_told_of_and_left_alone(tmp_path: Path) -> None:
    DirectoryHistory(tmp_path).record(run_of(result("a.py::x"), id="good"))
    (tmp_path / "zz.json").write_bytes(b'{"version": 2, "cases"')
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "folder.json").mkdir()
    told: list[str] = []
    store = DirectoryHistory(tmp_path, told.append)
    assert [record.id for record in store.load().records] == ["good"]
    assert len(told) == 2
    assert "zz.json" in told[1] and "folder.json" in told[0]
    for number in range(COMPACT_FROM):
        store.record(run_of(result("a.py::x"), id=f"{number}"))
    assert (tmp_path / "zz.json").read_bytes() == b'{"version": 2, "cases"'
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "h.json"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    told: list[str] = []
    assert FileHistory(path, told.append).load().records == ()
    assert "expected at most" in told[0]


def test_a_store_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    history_at(tmp_path / "file" / "h", warn=told.append).record(run_of(result("a.py::x")))
    history_at(tmp_path / "file" / "h.json", warn=told.append).record(run_of(result("a.py::x")))
    assert sum("could not be kept" in text for text in told) == 2


def test_the_cache_folder_hides_itself_from_git(tmp_path: Path) -> None:
    history_at(tmp_path / ".dt_cache" / "history").record(run_of(result("a.py::x")))
    assert (tmp_path / ".dt_cache" / ".gitignore").read_text() == "*\n"

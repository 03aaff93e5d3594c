"""Reports of an earlier build in a kept workspace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from report_samples import sample_run

from dt_action.app.leftovers import remove_reports_of_other_builds
from dt_action.model.build import Build
from dt_action.reports.formats import run_json


def leave(folder: Path, stem: str, run_id: str) -> None:
    run = replace(sample_run(), build=Build(run_id=run_id))
    (folder / f"{stem}.json").write_bytes(run_json.write(run))
    for suffix in (".xml", ".html", ".ctrf.json", "-2.xml"):
        (folder / f"{stem}{suffix}").touch()


def test_only_those_of_another_build_are_removed(tmp_path: Path) -> None:
    leave(tmp_path, "test_report_1", "jenkins-app-1")
    leave(tmp_path, "test_report_2", "jenkins-app-2")
    leave(tmp_path, "test_report_3", "")
    (tmp_path / "test_report_4.json").write_text("not ours")
    (tmp_path / "test_report_10.xml").touch()
    remove_reports_of_other_builds(tmp_path, Build(run_id="jenkins-app-2"))
    left = {path.name for path in tmp_path.iterdir()}
    assert not any(name.startswith("test_report_1.") or name.startswith("test_report_1-") for name in left)
    assert {"test_report_2.xml", "test_report_2-2.xml", "test_report_3.xml", "test_report_4.json"} <= left
    assert "test_report_10.xml" in left


def test_a_person_keeps_everything(tmp_path: Path) -> None:
    leave(tmp_path, "test_report_1", "jenkins-app-1")
    remove_reports_of_other_builds(tmp_path, Build())
    assert (tmp_path / "test_report_1.json").exists()

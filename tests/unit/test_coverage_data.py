"""Coverage data that comes from elsewhere: only data files are taken, none over another, and never without a limit."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from dt_action.errors import UnreadableError
from dt_action.hosts import coverage_data
from dt_action.hosts.coverage_data import CoverageData


def archive(*members: tuple[str, bytes, bytes], mode: str = "w") -> bytes:
    """A tar archive; members are name, tar's type, and content or the target of a link."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as opened:  # type: ignore[call-overload]
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(content)
            else:
                info.linkname = content.decode()
            opened.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def contents(data: CoverageData) -> list[bytes]:
    return sorted(path.read_bytes() for path in data.folder.glob(".coverage.*"))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_data_files_of_many_slots_lie_side_by_side_whatever_they_were_called(tmp_path: Path, mode: str) -> None:
    data = CoverageData(folder=tmp_path)
    for content in (b"one", b"two"):
        packed = archive(("measured/.coverage.host.7.x", tarfile.REGTYPE, content), mode=mode)
        data.take((packed[at : at + 100] for at in range(0, len(packed), 100)), "/workspace")

    assert contents(data) == [b"one", b"two"]
    assert data.workspaces == {"/workspace"}


def test_nothing_but_plain_data_files_is_taken(tmp_path: Path) -> None:
    data = CoverageData(folder=tmp_path / "data")
    data.folder.mkdir()
    packed = archive(
        ("measured", tarfile.DIRTYPE, b""),
        ("measured/.coverage.link", tarfile.SYMTYPE, b"/etc/passwd"),
        ("measured/.coverage.hard", tarfile.LNKTYPE, b"/etc/passwd"),
        ("measured/other", tarfile.REGTYPE, b"no"),
        ("../../.coverage.up", tarfile.REGTYPE, b"kept inside"),
    )

    data.take([packed], "/workspace")

    assert contents(data) == [b"kept inside"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("packed", [b"", b"no archive", archive((".coverage.a", tarfile.REGTYPE, b"x" * 2000))[:900]])
def test_what_is_no_archive_is_told(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(UnreadableError, match="coverage data cannot be unpacked"):
        CoverageData(folder=tmp_path).take([packed], "/workspace")


def test_more_than_a_slot_may_measure_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage_data, "MAX_COVERAGE_BYTES", 5)
    with pytest.raises(UnreadableError, match="larger than 5 bytes"):
        CoverageData(folder=tmp_path).take([archive((".coverage.a", tarfile.REGTYPE, b"123456"))], "/workspace")

"""What the slots of a coordinator's workers measured, brought here when the run is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dt_action.errors import UnreadableError
from dt_action.hosts.coverage_data import CoverageData
from dt_action.model.event import Notice
from dt_action.model.json_codec import from_jsonable
from dt_action.remote import wire
from dt_action.remote.link import Link, LinkError, patiently

WHOLE_PATIENCE_S = 120.0
"""How long slots may take to save and send: longer than a worker waits for a process that saves."""

WAIT_S = 15.0
AGAIN_S = 0.1
FETCH_PATIENCE_S = 60.0
FETCH_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class RemoteCoverage:
    """Brings coverage data from a coordinator to `data`."""

    data: CoverageData

    def bring(self, link: Link, run: str, token: str) -> Iterator[Notice]:
        """Wait until all slots of the run have sent their data, and fetch it; tells what of it is missing."""
        try:
            found = _whole(link, run, token)
        except (LinkError, UnreadableError) as error:
            yield Notice(level="error", text=f"the coverage could not be fetched: {error}")
            return
        if not found.is_whole:
            yield _missing(f"slots were still saving their coverage after {WHOLE_PATIENCE_S:g} s")
        for slot in found.lost:
            yield _missing(f"the coverage of slot {slot} did not come: its worker was lost, or could not send it")
        for upload in found.uploads:
            try:
                self._take(link, f"/runs/{run}/coverage/{upload.digest}", token, upload.root)
            except (LinkError, UnreadableError, OSError) as error:
                yield _missing(f"the coverage of slot {upload.slot} on {upload.worker} is not to be had: {error}")

    def _take(self, link: Link, path: str, token: str, workspace: str) -> None:
        archive = self.data.folder / "upload.tar.gz"
        patiently(lambda: _fetch(link, path, token, archive), patience_s=FETCH_PATIENCE_S)
        with archive.open("rb") as file:
            self.data.take(iter(lambda: file.read(1 << 20), b""), workspace)
        archive.unlink()


def _missing(text: str) -> Notice:
    return Notice(level="warning", text=f"{text}; what its tests ran is missing from the coverage")


def _whole(link: Link, run: str, token: str) -> wire.CoverageUploads:
    give_up_at = time.monotonic() + WHOLE_PATIENCE_S
    while True:
        answer: Any = patiently(
            lambda: link.get_json(f"/runs/{run}/coverage?wait_s={WAIT_S:g}", token=token), patience_s=FETCH_PATIENCE_S
        )
        found = from_jsonable(wire.CoverageUploads, answer, source="the coordinator's answer")
        if found.is_whole or time.monotonic() > give_up_at:
            return found
        time.sleep(AGAIN_S)  # a coordinator that is about to stop answers at once


def _fetch(link: Link, path: str, token: str, archive: Path) -> None:
    import requests

    response = link.request("GET", path, token=token, stream=True, timeout_s=FETCH_TIMEOUT_S)
    size = 0
    try:
        with archive.open("wb") as file:
            for chunk in response.iter_content(1 << 20):
                size += len(chunk)
                if size > wire.MAX_COVERAGE_BYTES:
                    raise UnreadableError(f"expected at most {wire.MAX_COVERAGE_BYTES:,} bytes, found more")
                file.write(chunk)
    except requests.exceptions.RequestException as error:
        raise LinkError("connection", f"the transfer broke off: {type(error).__name__}") from None

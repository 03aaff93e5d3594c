"""A run once more: the same tree, plan and options, as a new run of whoever asks."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.auth import Caller
from dt_action.coordinator.store import RUNS, rows_of
from dt_action.coordinator.writer import RefusalError
from dt_action.model.json_codec import from_jsonable
from dt_action.remote import wire

if TYPE_CHECKING:
    from dt_action.coordinator.service import Service


async def run_again(service: Service, caller: Caller, run: str) -> wire.Submitted:
    """
    Begin it. The caller has been found to may see the run.

    Raises RefusalError where the caller may not submit for its repository, or its bundle is not kept any more.
    """
    caller.require("submit")
    service.expect_no_maintenance()
    rows = await run_in_threadpool(rows_of, service.engine, sa.select(RUNS.c.submission).where(RUNS.c.id == run))
    if not rows:
        raise RefusalError(404, "no such run, or not yours")
    submission = from_jsonable(wire.Submission, json.loads(rows[0].submission), source=f"run {run}")
    caller.require_repository(submission.repository)
    if not await run_in_threadpool(service.blobs.has, submission.bundle):
        raise RefusalError(
            409,
            "the source tree of this run is not kept any more",
            hint="run it from its project: dt run --coordinator",
        )
    anew = replace(submission, nonce=secrets.token_hex(16))
    return await service.do(lambda changes: service.desk.submit(changes, anew, caller.owner))

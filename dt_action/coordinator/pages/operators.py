"""The pages for operators: keys and enrolment tokens, the audit, maintenance."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import admin_api, audit, credentials, notes
from dt_action.coordinator.auth import SCOPES
from dt_action.coordinator.pages.rendering import page
from dt_action.coordinator.pages.sessions import Viewing, form_of
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError
from dt_action.options.kinds import DURATION
from dt_action.remote import wire

PAGES = APIRouter()
ENTRIES = 100


@PAGES.get("/keys")
async def keys_page(request: Request, viewer: Viewing) -> Response:
    """The API keys and the enrolment tokens."""
    return await _keys(request, viewer)


async def _keys(request: Request, viewer: Viewing, *, made: str = "", problem: str = "") -> Response:
    service: Service = request.app.state.service
    viewer.require("admin")
    keys = await run_in_threadpool(credentials.keys, service.engine)
    tokens = await run_in_threadpool(credentials.enrolments, service.engine)
    return page(
        request,
        "keys.html.j2",
        viewer,
        status=422 if problem else 200,
        keys=keys[::-1],
        tokens=tokens[::-1],
        scopes=SCOPES,
        made=made,
        problem=problem,
    )


def _seconds(text: str) -> float | None:
    """How long something is good for; None is for ever. Raises ConfigurationError."""
    if not text.strip():
        return None
    try:
        return DURATION.read(text)
    except ValueError:
        raise ConfigurationError(f"expected {DURATION.expected}") from None


@PAGES.post("/keys")
async def make_key(request: Request, viewer: Viewing) -> Response:
    """Make an API key, and show it this once."""
    service: Service = request.app.state.service
    form = await form_of(request)
    viewer.require("admin")
    try:
        wish = wire.KeyWish(
            name=form.get("name", "")[:200] or "key",
            scopes=tuple(scope for scope in SCOPES if f"scope-{scope}" in form),
            repositories=tuple(form.get("repositories", "").replace(",", " ").split()),
            expires_s=_seconds(form.get("expires", "")),
        )
        made = await service.do(admin_api.refusing(lambda changes: admin_api.new_key(changes, wish, viewer)))
    except (ConfigurationError, RefusalError) as error:
        return await _keys(request, viewer, problem=error.message)
    return await _keys(request, viewer, made=made)


@PAGES.post("/tokens")
async def make_token(request: Request, viewer: Viewing) -> Response:
    """Make an enrolment token, and show it this once."""
    service: Service = request.app.state.service
    form = await form_of(request)
    viewer.require("admin")
    try:
        is_pool = "pool" in form
        expires_s = _seconds(form.get("expires", "") or ("" if is_pool else "1h"))
        wish = wire.EnrolmentWish(name=form.get("name", "")[:200] or "worker", is_pool=is_pool, expires_s=expires_s)
        made = await service.do(admin_api.refusing(lambda changes: admin_api.new_enrolment(changes, wish, viewer)))
    except (ConfigurationError, RefusalError) as error:
        return await _keys(request, viewer, problem=error.message)
    return await _keys(request, viewer, made=made)


@PAGES.post("/{kind}/{id}/revoke")
async def revoke(request: Request, kind: str, id: str, viewer: Viewing) -> Response:
    """A key or an enrolment token is good no more."""
    service: Service = request.app.state.service
    await form_of(request)
    viewer.require("admin")
    if kind not in ("keys", "tokens"):
        raise RefusalError(404, "no such page")
    work = credentials.revoke_key if kind == "keys" else credentials.revoke_enrolment
    await service.do(admin_api.refusing(lambda changes: work(service.engine, changes, id[:64], who=viewer.name)))
    return RedirectResponse("/keys", status_code=303)


@PAGES.get("/audit")
async def audit_page(
    request: Request,
    viewer: Viewing,
    words: Annotated[str, Query(max_length=255)] = "",
    before: Annotated[int, Query(ge=0, le=1 << 53)] = 0,
) -> Response:
    """Who did what, the newest first."""
    service: Service = request.app.state.service
    viewer.require("admin")
    entries = await run_in_threadpool(
        lambda: audit.entries(service.engine, words=words, before=before, most=ENTRIES + 1)
    )
    return page(request, "audit.html.j2", viewer, entries=entries[:ENTRIES], has_more=len(entries) > ENTRIES)


@PAGES.get("/audit.{form}")
async def audit_export(request: Request, form: str, viewer: Viewing) -> Response:
    """All of it as a file: `audit.csv` or `audit.ndjson`."""
    service: Service = request.app.state.service
    viewer.require("admin")
    if form not in ("csv", "ndjson"):
        raise RefusalError(404, "the audit can be had as audit.csv and audit.ndjson")
    entries = audit.all_entries(service.engine)
    lines = audit.as_csv(entries) if form == "csv" else (json.dumps(entry.as_jsonable()) + "\n" for entry in entries)
    headers = {"Content-Disposition": f'attachment; filename="audit.{form}"'}
    return StreamingResponse(lines, media_type="text/csv" if form == "csv" else "application/x-ndjson", headers=headers)


@PAGES.post("/maintenance")
async def maintenance(request: Request, viewer: Viewing) -> Response:
    """Begin or end maintenance."""
    service: Service = request.app.state.service
    form = await form_of(request)
    viewer.require("admin")
    reason = form.get("reason", "")[:500] or "maintenance"
    if form.get("action") == "end":
        await service.do(lambda changes: notes.end_maintenance(changes, who=viewer.name))
        service.maintenance = ""
    else:
        await service.do(lambda changes: notes.begin_maintenance(changes, reason, who=viewer.name))
        service.maintenance = reason
    return RedirectResponse("/workers", status_code=303)

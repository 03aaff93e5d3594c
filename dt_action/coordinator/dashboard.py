"""The pages for people: who works, what runs, how a test fared. Behind a login by key; no script but our own."""

from __future__ import annotations

import json
import secrets
import time
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator import admin_api, events, pictures, views
from dt_action.coordinator.auth import SESSION_S, Caller, end_session
from dt_action.coordinator.callers import address_of, admit, slowed
from dt_action.coordinator.protection import check_length, passage_of
from dt_action.coordinator.service import Service
from dt_action.coordinator.store import EVENTS, RESULTS, case_key, rows_of
from dt_action.coordinator.writer import RefusalError

PAGES = APIRouter(include_in_schema=False)
COOKIE = "dt_session"
LOGIN_COOKIE = "dt_login"
MOST_ROWS = 2000
MOST_FORM_BYTES = 8192
_TEMPLATES = Path(__file__).parent / "templates"
_ASSETS = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    environment.filters["ago"] = lambda at: _duration(time.time() - at)
    environment.filters["duration"] = _duration
    return environment


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} d"


def _page(request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
    cookie = request.cookies.get(COOKIE, "")
    token = request.app.state.service.guard.form_token(cookie)
    html = _environment().get_template(name).render(form_token=token, is_known=bool(cookie), **values)
    return HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store"})


async def _viewer(request: Request) -> Caller:
    service: Service = request.app.state.service
    try:
        caller = await run_in_threadpool(service.guard.session_caller, request.cookies.get(COOKIE, ""))
    except RefusalError:
        raise RefusalError(303, "log in first", hint="/login") from None
    admit(request, service, f"client {caller.name}")
    return caller


Viewing = Annotated[Caller, Depends(_viewer)]


async def _form(request: Request, cookie: str = COOKIE) -> dict[str, str]:
    """The fields of a form. Raises RefusalError unless the form came from a page that has this cookie's token."""
    check_length(request.scope, MOST_FORM_BYTES)
    body = await request.body()
    fields = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    service: Service = request.app.state.service
    service.guard.check_form(request.cookies.get(cookie, ""), fields.get("form_token", ""))
    return fields


def _login_form(request: Request, problem: str, status: int = 200) -> Response:
    """The form that asks for a key. Its token belongs to a cookie of its own: there is no session yet."""
    cookie = request.cookies.get(LOGIN_COOKIE, "") or secrets.token_urlsafe(16)
    token = request.app.state.service.guard.form_token(cookie)
    html = _environment().get_template("login.html.j2").render(form_token=token, is_known=False, problem=problem)
    answer = HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store"})
    _set_cookie(request, answer, LOGIN_COOKIE, cookie, 3600)
    return answer


def _set_cookie(request: Request, answer: Response, name: str, value: str, max_age_s: int) -> None:
    """For this site only, out of reach for scripts; over TLS only where the browser came over TLS, also to a proxy."""
    is_secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=max_age_s, httponly=True, samesite="strict", secure=is_secure)


@PAGES.get("/login")
async def login_page(request: Request) -> Response:
    """The form that asks for a key."""
    return _login_form(request, problem="")


@PAGES.post("/login")
async def login(request: Request) -> Response:
    """Trade a key for a cookie."""
    service: Service = request.app.state.service
    admit(request, service, f"address {address_of(request)}")
    form = await _form(request, LOGIN_COOKIE)
    try:
        cookie, session = await run_in_threadpool(service.guard.session, form.get("key", ""))
    except RefusalError as error:
        error = slowed(request, service, error)
        if error.status == 429:
            raise error from None
        return _login_form(request, problem="This key is not one that is good here.", status=401)
    await service.do(session.begin)
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie(LOGIN_COOKIE)
    _set_cookie(request, answer, COOKIE, cookie, int(SESSION_S))
    return answer


@PAGES.post("/logout")
async def logout(request: Request, _: Viewing) -> Response:
    """End the session, here and in the browser."""
    await _form(request)
    cookie = request.cookies.get(COOKIE, "")
    await request.app.state.service.do(lambda changes: end_session(changes, cookie))
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@PAGES.get("/")
async def overview(request: Request, viewer: Viewing) -> Response:
    """Workers and the latest runs."""
    service: Service = request.app.state.service
    may_read = bool(viewer.scopes & {"read", "admin"})
    workers = await service.do(lambda _: views.workers(service.desk, viewer)) if may_read else []
    runs = await run_in_threadpool(views.runs, service, viewer, 50)
    return _page(request, "overview.html.j2", workers=workers, runs=runs, may_steer="admin" in viewer.scopes)


@PAGES.post("/workers/{worker}/{action}")
async def steer(request: Request, worker: str, action: str, viewer: Viewing) -> Response:
    """Drain a worker, or let it work again."""
    service: Service = request.app.state.service
    await _form(request)
    viewer.require("admin")
    if action not in ("drain", "resume"):
        raise RefusalError(404, "no such action")
    await service.do(lambda changes: admin_api.steer(service, changes, worker, action, viewer.name))
    return RedirectResponse("/", status_code=303)


@PAGES.get("/runs/{run}")
async def run_page(request: Request, run: str, viewer: Viewing) -> Response:
    """One run: its progress, its tests, its logs, and where its time went."""
    service: Service = request.app.state.service
    state = await _seen(service, viewer, run)
    results, logs, last = await run_in_threadpool(_of_run, service, run)
    waiting = await service.do(lambda _: views.why_waiting(service.desk, run))
    return _page(
        request,
        "run.html.j2",
        run=state,
        results=results[:MOST_ROWS],
        hidden=max(0, len(results) - MOST_ROWS),
        logs=logs,
        waiting=waiting[:20],
        last_event=last,
        timeline=pictures.timeline(results),
        advice=pictures.advice(results),
    )


@PAGES.get("/runs/{run}/stream")
async def run_stream(
    request: Request, run: str, viewer: Viewing, after: Annotated[int, Query(ge=0, le=1 << 53)] = 0
) -> Response:
    """The run's events, for the script of its page."""
    service: Service = request.app.state.service
    await _seen(service, viewer, run)
    last = request.headers.get("last-event-id", "")
    after = max(after, int(last)) if last.isascii() and last.isdigit() and len(last) < 16 else after
    passage_of(request.scope).counts_as(service.streams.one(viewer.name))
    body = events.stream(service.pages, service.bells, run, after)
    return StreamingResponse(body, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@PAGES.get("/tests")
async def test_page(
    request: Request,
    viewer: Viewing,
    case: Annotated[str, Query(max_length=8192)],
    repository: Annotated[str, Query(max_length=255)] = "",
) -> Response:
    """How a test fared in the runs that are kept."""
    service: Service = request.app.state.service
    statement = (
        sa.select(RESULTS)
        .where(RESULTS.c.case_key == case_key(case), RESULTS.c.repository == repository)
        .order_by(RESULTS.c.started_at.desc())
        .limit(100)
    )
    rows = [*reversed(await run_in_threadpool(rows_of, service.engine, statement))]
    if not viewer.may_see("", repository):
        raise RefusalError(404, "no such test, or not yours")
    flaky = sum(row.is_flaky for row in rows)
    changes = sum(a.outcome != b.outcome for a, b in pairwise(rows))
    return _page(
        request,
        "test.html.j2",
        case=case,
        repository=repository,
        results=rows[::-1],
        flaky=flaky,
        changes=changes,
        picture=pictures.durations(rows),
    )


@PAGES.get("/assets/{name}")
async def asset(name: str) -> Response:
    """The style and the script."""
    if name not in _ASSETS:
        raise RefusalError(404, "no such asset")
    return Response((_TEMPLATES / name).read_bytes(), media_type=_ASSETS[name])


async def _seen(service: Service, viewer: Caller, run: str) -> dict[str, Any]:
    state = await run_in_threadpool(views.run, service, run[:64])
    if state is None or not viewer.may_see(state["owner"], state["repository"]):
        raise RefusalError(404, "no such run, or not yours")
    return state


_FAILING_FIRST = sa.case((RESULTS.c.outcome.in_(("failed", "error", "timeout", "crashed")), 0), else_=1)


def _of_run(service: Service, run: str) -> tuple[list[Any], list[str], int]:
    """Its results, failures first, then the slowest; its logs; the number of its last event."""
    statement = sa.select(RESULTS).where(RESULTS.c.run == run).order_by(_FAILING_FIRST, RESULTS.c.duration_s.desc())
    results = [*rows_of(service.engine, statement.limit(20_000))]
    logged = sa.select(EVENTS.c.payload).where(EVENTS.c.run == run, EVENTS.c.kind == "Logged").order_by(EVENTS.c.seq)
    logs = [json.loads(row.payload) for row in rows_of(service.engine, logged.limit(500))]
    last = rows_of(service.engine, sa.select(sa.func.max(EVENTS.c.seq)).where(EVENTS.c.run == run))[0][0] or 0
    return results, [f"[{log['slot']}] {log['text']}" for log in logs], last

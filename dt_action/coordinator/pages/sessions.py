"""Who looks at the pages: the login, its session, and forms that no other site can send."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.auth import SESSION_S, Caller, end_session
from dt_action.coordinator.callers import address_of, admit, slowed
from dt_action.coordinator.pages.rendering import COOKIE, TEMPLATES, page
from dt_action.coordinator.protection import check_length
from dt_action.coordinator.service import Service
from dt_action.coordinator.writer import RefusalError

PAGES = APIRouter()
LOGIN_COOKIE = "dt_login"
MOST_FORM_BYTES = 8192
_ASSETS = {"dashboard.css": "text/css", "dashboard.js": "text/javascript"}


async def _viewer(request: Request) -> Caller:
    service: Service = request.app.state.service
    try:
        caller = await run_in_threadpool(service.guard.session_caller, request.cookies.get(COOKIE, ""))
    except RefusalError:
        raise RefusalError(303, "log in first", hint="/login") from None
    admit(request, service, f"client {caller.name}")
    return caller


Viewing = Annotated[Caller, Depends(_viewer)]


async def form_of(request: Request, cookie: str = COOKIE) -> dict[str, str]:
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
    answer = page(request, "login.html.j2", None, status=status, problem=problem, login_token=token)
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
    form = await form_of(request, LOGIN_COOKIE)
    try:
        cookie, session = await run_in_threadpool(service.guard.session, form.get("key", "").strip())
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
    await form_of(request)
    cookie = request.cookies.get(COOKIE, "")
    await request.app.state.service.do(lambda changes: end_session(changes, cookie))
    answer = RedirectResponse("/login", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer


@PAGES.get("/assets/{name}")
async def asset(name: str) -> Response:
    """The style and the script."""
    if name not in _ASSETS:
        raise RefusalError(404, "no such asset")
    content = await run_in_threadpool((TEMPLATES / name).read_bytes)
    return Response(content, media_type=_ASSETS[name], headers={"Cache-Control": "no-cache"})

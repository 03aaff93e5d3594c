"""Templates to pages. What tests or clients wrote is shown as text that cannot change what stands around it."""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from dt_action import __version__
from dt_action.coordinator.auth import Caller
from dt_action.model.hardware import format_bytes

COOKIE = "dt_session"
TEMPLATES = Path(__file__).parent.parent / "templates"


def page(request: Request, name: str, viewer: Caller | None, status: int = 200, **values: Any) -> Response:
    """The page that a template makes, or 304 where the browser has it already."""
    cookie = request.cookies.get(COOKIE, "")
    service = request.app.state.service
    html = (
        _environment()
        .get_template(name)
        .render(
            form_token=service.guard.form_token(cookie),
            viewer=viewer,
            is_admin=viewer is not None and "admin" in viewer.scopes,
            may_submit=viewer is not None and bool(viewer.scopes & {"submit", "admin"}),
            may_read=viewer is not None and bool(viewer.scopes & {"read", "admin"}),
            maintenance=service.maintenance if viewer is not None else "",
            path=request.url.path,
            query=dict(request.query_params),
            version=__version__,
            **values,
        )
    )
    tag = f'"{hashlib.sha256(html.encode("utf-8", "replace")).hexdigest()[:24]}"'
    headers = {"Cache-Control": "no-store", "ETag": tag}
    if status == 200 and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(html, status_code=status, headers=headers)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        ago=lambda at: duration(time.time() - at),
        duration=duration,
        moment=moment,
        bytes=format_bytes,
        text=isolated,
        plain=plain,
        with_query=with_query,
    )
    return environment


def duration(seconds: float) -> str:
    """`42 ms`, `3.1 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d`."""
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def moment(at: float) -> Markup:
    """A point in time, for people and for programs."""
    told = datetime.fromtimestamp(at, tz=timezone.utc)
    return Markup('<time datetime="{}">{}</time>').format(
        told.isoformat(timespec="seconds"), f"{told:%Y-%m-%d %H:%M} UTC"
    )


def isolated(text: Any) -> Markup:
    """
    Foreign text: its direction does not reach what stands around it, and characters that nobody sees are shown.

    Such a character (U+202E, say) could make a name look like another one.
    """
    shown = Markup("").join(
        Markup('<span class="unseen">{}</span>').format(_named(letter)) if _is_unseen(letter) else escape(letter)
        for letter in str(text)
    )
    return Markup("<bdi>{}</bdi>").format(shown)


def plain(text: Any) -> str:
    """The same for attributes and titles, where there is no markup."""
    return "".join(_named(letter) if _is_unseen(letter) else letter for letter in str(text))


def _is_unseen(letter: str) -> bool:
    return letter not in "\n\t" and unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _named(letter: str) -> str:
    return f"\\u{ord(letter):04x}"


def with_query(path: str, query: Mapping[str, Any], **changed: Any) -> str:
    """The address of this page with other values in its query; empty ones are left out."""
    values = {name: value for name, value in {**query, **changed}.items() if value not in ("", None)}
    return f"{path}?{urlencode(values)}" if values else path

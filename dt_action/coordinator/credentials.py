"""Keys and enrolment tokens: made, listed, revoked. Of a secret only a hash is kept, so it is shown once."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from dt_action.coordinator.auth import SCOPES, Quota, digest
from dt_action.coordinator.store import ENROLMENTS, KEYS, SESSIONS, Changes, as_text, rows_of, storable
from dt_action.errors import ConfigurationError

OPERATOR = "operator"
"""Who works on the data directory itself, in the audit."""


def make_key(
    changes: Changes,
    *,
    name: str,
    scopes: Sequence[str],
    repositories: Sequence[str] = (),
    expires_s: float | None = None,
    quota: Quota = Quota(),  # noqa: B008 - frozen
    who: str = OPERATOR,
) -> str:
    """A new API key. Raises ConfigurationError for a scope that there is not."""
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ConfigurationError(f"the scopes are {list(scopes)}; expected some of {', '.join(SCOPES)}")
    if not all(0 <= value < 1 << (50 if name == "max_storage_bytes" else 31) for name, value in asdict(quota).items()):
        raise ConfigurationError("a limit is negative or too large; 0 is none")
    id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    changes.add(
        KEYS,
        id=id,
        name=storable(name, 200),
        hash=digest(secret),
        scopes=as_text(list(scopes)),
        repositories=as_text(list(repositories)),
        **asdict(quota),
        created_at=time.time(),
        expires_at=None if expires_s is None else time.time() + expires_s,
    )
    changes.audit(who, "key created", f"{name} ({id}): {', '.join(scopes)}")
    return f"dtk_{id}_{secret}"


def make_enrolment(
    changes: Changes, *, name: str, uses: int | None, expires_s: float | None, who: str = OPERATOR
) -> str:
    """A new enrolment token, good for `uses` workers (None: a pool of any size)."""
    if uses is not None and not 1 <= uses < 1 << 31:
        raise ConfigurationError("a token is for 1 worker or more")
    id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    changes.add(
        ENROLMENTS,
        id=id,
        name=storable(name, 200),
        hash=digest(secret),
        uses_left=uses,
        created_at=time.time(),
        expires_at=None if expires_s is None else time.time() + expires_s,
    )
    changes.audit(who, "enrolment token created", f"{name} ({id})")
    return f"dte_{id}_{secret}"


def keys(engine: sa.Engine) -> list[dict[str, Any]]:
    """All keys, the oldest first, with everything but their secrets."""
    return [
        {
            "id": row.id,
            "name": row.name,
            "scopes": json.loads(row.scopes),
            "repositories": json.loads(row.repositories),
            **{field.name: getattr(row, field.name) for field in fields(Quota)},
            "last_used_at": row.last_used_at,
            **_life(row),
        }
        for row in rows_of(engine, sa.select(KEYS).order_by(KEYS.c.created_at))
    ]


def enrolments(engine: sa.Engine) -> list[dict[str, Any]]:
    """All enrolment tokens, the oldest first. `uses_left` is None for a pool."""
    return [
        {"id": row.id, "name": row.name, "uses_left": row.uses_left, **_life(row)}
        for row in rows_of(engine, sa.select(ENROLMENTS).order_by(ENROLMENTS.c.created_at))
    ]


def _life(row: Any) -> dict[str, Any]:
    state = "good"
    if row.revoked_at is not None:
        state = "revoked"
    elif row.expires_at is not None and row.expires_at < time.time():
        state = "expired"
    elif getattr(row, "uses_left", None) == 0:
        state = "used up"
    return {
        "state": state,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def revoke_key(engine: sa.Engine, changes: Changes, id: str, *, who: str = OPERATOR) -> None:
    """A key is good no more, nor are the sessions of browsers that began with it. Raises ConfigurationError."""
    name = _revocable(engine, KEYS, id, "key", "dt coordinator key list")
    changes.update(KEYS, id, revoked_at=time.time())
    changes.execute(SESSIONS.delete().where(SESSIONS.c.key == id))
    changes.audit(who, "key revoked", f"{name} ({id})")


def revoke_enrolment(engine: sa.Engine, changes: Changes, id: str, *, who: str = OPERATOR) -> None:
    """An enrolment token is good no more; workers that came by it stay. Raises ConfigurationError."""
    name = _revocable(engine, ENROLMENTS, id, "enrolment token", "dt coordinator enrol list")
    changes.update(ENROLMENTS, id, revoked_at=time.time())
    changes.audit(who, "enrolment token revoked", f"{name} ({id})")


def _revocable(engine: sa.Engine, table: sa.Table, id: str, what: str, listing: str) -> str:
    rows = rows_of(engine, sa.select(table.c.name, table.c.revoked_at).where(table.c.id == id))
    if not rows:
        raise ConfigurationError(f"there is no {what} {storable(id, 64)!r}", hint=f"`{listing}` shows them")
    if rows[0].revoked_at is not None:
        raise ConfigurationError(f"the {what} {id} was revoked before")
    return str(rows[0].name)

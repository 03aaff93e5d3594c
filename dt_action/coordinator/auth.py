"""Who may do what: API keys, enrolment tokens, workers' JWTs and the token of each lease."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool

from dt_action.coordinator.roster import PRESENT, Owner
from dt_action.coordinator.store import ENROLMENTS, KEYS, SESSIONS, WORKERS, Changes, rows_of, storable
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError

SCOPES = ("submit", "read", "admin")
JWT_S = 600.0
SESSION_S = 12 * 3600.0
_AUDIENCE = "dt-worker"


def _bad() -> RefusalError:
    return RefusalError(
        401,
        "the credential is missing, wrong, expired or revoked",
        hint="see docs/security.md for keys",
        is_suspicious=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much somebody may have at a time. 0 is no limit, but for the priority, and for storage a share of all."""

    max_slots: int = 0
    max_runs: int = 0
    max_priority: int = 0
    max_storage_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: a key or a CI job with a claim, and what it may do."""

    name: str
    scopes: frozenset[str]
    repositories: tuple[str, ...] = ()
    quota: Quota = Quota()

    @property
    def owner(self) -> Owner:
        """The caller as the owner of runs."""
        quota = self.quota
        return Owner(
            name=self.name, max_slots=quota.max_slots, max_runs=quota.max_runs, max_priority=quota.max_priority
        )

    def require(self, scope: str) -> None:
        """Raise RefusalError unless the caller may do what `scope` allows; `admin` may do everything."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise RefusalError(403, f"this credential lacks the scope {scope!r}", hint="ask for a key that has it")

    def require_repository(self, repository: str) -> None:
        """Raise RefusalError where the credential is bound to repositories, and not to this one."""
        if self.repositories and repository not in self.repositories:
            raise RefusalError(403, f"this credential is only for {', '.join(self.repositories[:5])}")

    def may_see(self, owner: str, repository: str) -> bool:
        """True for its own runs, for those of the repositories it is bound to, and for a reader of everything."""
        if self.name == owner or "admin" in self.scopes:
            return True
        return "read" in self.scopes and (not self.repositories or repository in self.repositories)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What is kept of a browser's session: a hash of its cookie, the key, and its end in Unix time."""

    hash: str
    key: str
    expires_at: float

    def begin(self, changes: Changes) -> None:
        """Write it down."""
        changes.insert(SESSIONS, hash=self.hash, key=self.key, expires_at=self.expires_at)
        changes.audit(f"key {self.key}", "logged in")


def end_session(changes: Changes, cookie: str) -> None:
    """Whoever has the cookie is not known by it any more."""
    changes.execute(SESSIONS.delete().where(SESSIONS.c.hash == digest(cookie)))


def digest(secret: str) -> str:
    """What is kept of a secret: it has 256 random bits, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def load_secret(directory: Path) -> bytes:
    """The key that signs workers' JWTs and lease tokens, made at the first start and readable by its owner only."""
    path = directory / "secret"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        draft = directory / f"secret.{os.getpid()}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(32))
        draft.rename(path)
    secret = path.read_bytes()
    if len(secret) < 32:
        raise ConfigurationError(f"{path} is damaged: expected 32 bytes, found {len(secret)}")
    return secret


class Guard:
    """Checks credentials. Every comparison of a secret takes the same time whatever it is compared with."""

    def __init__(
        self,
        engine: sa.Engine,
        secret: bytes,
        *,
        oidc: Callable[[str], Awaitable[Caller]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine = engine
        self._secret = secret
        self._oidc = oidc
        self._clock = clock
        self._uses: dict[str, float] = {}

    async def caller(self, credential: str) -> Caller:
        """The holder of an API key or of a CI service's OIDC token. Raises RefusalError."""
        if credential.startswith("dtk_"):
            return await run_in_threadpool(self._key_holder, credential)
        if self._oidc is not None and credential.count(".") == 2:
            return await self._oidc(credential)
        raise _bad()

    def enrolment_of(self, token: str) -> Any:
        """The row of an enrolment token that was not revoked and has not expired. Raises RefusalError."""
        return self._secret_row(ENROLMENTS, token, "dte")

    def enrolment(self, token: str, *, boot: str, changes: Changes) -> str:
        """
        The id of an enrolment token that is good for one more worker. Raises RefusalError.

        One that was used up stays good for the process that used it (`boot`) while that is a worker: it asks again when
        the answer got lost. `changes` has the workers that were enrolled just now and are not written yet.
        """
        row = self.enrolment_of(token)
        if row.uses_left is None:
            return str(row.id)
        just_now = [worker["boot"] for worker in changes.new(WORKERS) if worker["enrolment"] == row.id]
        mine = sa.select(WORKERS.c.id).where(
            WORKERS.c.enrolment == row.id, WORKERS.c.boot == boot, WORKERS.c.state != "gone"
        )
        if row.uses_left > len(just_now) or boot in just_now or rows_of(self._engine, mine):
            return str(row.id)
        raise RefusalError(401, "this enrolment token was used up", hint="make one with: dt coordinator enrol")

    def check_renewal(self, worker: str, secret: str) -> None:
        """Raise RefusalError unless the secret renews the JWT of this worker, and that was not removed."""
        rows = rows_of(self._engine, sa.select(WORKERS.c.renewal_hash, WORKERS.c.state).where(WORKERS.c.id == worker))
        stored = rows[0].renewal_hash if rows else digest("")
        is_same = secrets.compare_digest(stored, digest(secret))
        if not rows or not is_same or rows[0].state not in PRESENT:
            raise RefusalError(
                401,
                "this worker is not enrolled (any more)",
                hint="enrol it again",
                is_suspicious=not rows or not is_same,
            )

    def worker_jwt(self, worker: str) -> str:
        """A JWT for a worker, good for `JWT_S` seconds."""
        now = self._clock()
        claims = {"sub": worker, "aud": _AUDIENCE, "iss": "dt-coordinator", "iat": now, "exp": now + JWT_S}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def worker(self, credential: str) -> str:
        """The id of the worker that a JWT was made for. Raises RefusalError."""
        try:
            claims = jwt.decode(
                credential,
                self._secret,
                algorithms=["HS256"],
                audience=_AUDIENCE,
                issuer="dt-coordinator",
                options={"require": ["exp", "sub", "aud", "iss"], "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, ValueError):
            raise _bad() from None
        if not isinstance(claims["exp"], (int, float)) or claims["exp"] < self._clock():
            raise RefusalError(401, "the worker's token has expired", hint="renew it")
        return str(claims["sub"])

    def lease_token(self, lease: str) -> str:
        """The token of one lease. It is worked out from the lease's id, so that it need not be kept anywhere."""
        mac = hmac.digest(self._secret, b"lease:" + lease.encode("utf-8", "replace"), "sha256")
        return "dtl_" + urlsafe_b64encode(mac).decode().rstrip("=")

    def check_lease(self, lease: str, credential: str) -> None:
        """Raise RefusalError unless the credential is this lease's own token."""
        if not hmac.compare_digest(self.lease_token(lease).encode(), credential.encode("utf-8", "replace")):
            raise RefusalError(403, "this is not the token of this lease", is_suspicious=True)

    def session(self, key: str) -> tuple[str, Session]:
        """A cookie for the browser of a key's holder, and what is kept of it. Raises RefusalError."""
        row = self._secret_row(KEYS, key, "dtk")
        cookie = secrets.token_urlsafe(32)
        return cookie, Session(hash=digest(cookie), key=row.id, expires_at=self._clock() + SESSION_S)

    def session_caller(self, cookie: str) -> Caller:
        """The holder of a session; a key that was revoked ends its sessions, too. Raises RefusalError."""
        both = sa.select(KEYS, SESSIONS.c.expires_at.label("until")).join(SESSIONS, SESSIONS.c.key == KEYS.c.id)
        rows = rows_of(self._engine, both.where(SESSIONS.c.hash == digest(cookie)))
        now = self._clock()
        if not rows or rows[0].revoked_at is not None or rows[0].until < now or (rows[0].expires_at or now) < now:
            raise _bad()
        return self._caller_of(rows[0])

    def form_token(self, cookie: str) -> str:
        """What a form of this session must bring with it, which no other site can know."""
        return self._mac("form", cookie)

    def check_form(self, cookie: str, token: str) -> None:
        """Raise RefusalError unless the form came from a page of this session."""
        if not hmac.compare_digest(self.form_token(cookie).encode(), token.encode("utf-8", "replace")):
            raise RefusalError(403, "this form did not come from a page of yours", hint="load the page again")

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.digest(self._secret, f"{purpose}:{text}".encode("utf-8", "replace"), "sha256").hex()

    def _key_holder(self, credential: str) -> Caller:
        row = self._secret_row(KEYS, credential, "dtk")
        now = self._clock()
        if row.last_used_at is None or now - row.last_used_at > 60:
            self._uses[str(row.id)] = now  # written with the next tick, by the one thread that writes
        return self._caller_of(row)

    def _caller_of(self, row: Any) -> Caller:
        return Caller(
            name=f"{row.name} ({row.id})",
            scopes=frozenset(json.loads(row.scopes)),
            repositories=tuple(json.loads(row.repositories)),
            quota=Quota(**{field.name: getattr(row, field.name) for field in fields(Quota)}),
        )

    def _secret_row(self, table: sa.Table, credential: str, prefix: str) -> Any:
        head, _, rest = storable(credential, 200).partition("_")
        id, _, secret = rest.partition("_")
        rows = rows_of(self._engine, sa.select(table).where(table.c.id == id)) if head == prefix else []
        known = rows[0].hash if rows else digest("")
        is_same = hmac.compare_digest(known, digest(secret))
        if not rows or not is_same or rows[0].revoked_at is not None:
            raise _bad()
        if rows[0].expires_at is not None and rows[0].expires_at < self._clock():
            raise _bad()
        return rows[0]

    def note_uses(self, changes: Changes) -> None:
        """Write down when keys were used last."""
        uses, self._uses = self._uses, {}
        for id, at in uses.items():
            changes.update(KEYS, id, last_used_at=at)

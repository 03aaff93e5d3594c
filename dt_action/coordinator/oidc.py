"""CI jobs without a stored secret: their OIDC tokens, checked against issuer, audience and a policy of claims."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jwt

from dt_action.coordinator.auth import SCOPES, Caller, Quota
from dt_action.coordinator.writer import RefusalError
from dt_action.errors import ConfigurationError

_LOG = logging.getLogger("dt.coordinator")

FetchKeys = Callable[[str], Mapping[str, Any]]
"""Gets a JSON document."""

KEYS_KEPT_S = 3600.0
ASK_AGAIN_AFTER_S = 30.0
"""An unknown key id makes us look for new keys, but not more often than this, however many tokens are forged."""

LEEWAY_S = 60.0
MOST_DOCUMENT_BYTES = 1 << 20
_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    Whose tokens are taken, and for what. `claims` maps a claim to patterns, one of which must match its value.

    `repository_claim` is the claim that names the repository: `repository` on GitHub, `project_path` on GitLab.
    """

    issuer: str
    audience: str
    claims: Mapping[str, Sequence[str]]
    repository_claim: str = "repository"
    jwks_url: str = ""
    scopes: frozenset[str] = frozenset({"submit"})
    quota: Quota = field(default_factory=Quota)


def read_policies(path: Path) -> tuple[Policy, ...]:
    """
    The policies in a TOML file, each a table `[[policy]]`. Raises ConfigurationError.

    A policy must pin the repository: without that, every repository of the service could submit runs.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("policy", [])
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", hint="docs/security.md shows one") from None
    policies = tuple(_policy(table, path) for table in tables)
    if not policies:
        raise ConfigurationError(f"{path} has no [[policy]]", hint="docs/security.md shows one")
    return policies


def _policy(table: Mapping[str, Any], path: Path) -> Policy:
    try:
        policy = Policy(
            issuer=str(table["issuer"]).rstrip("/"),
            audience=str(table["audience"]),
            claims={str(name): tuple(map(str, patterns)) for name, patterns in table["claims"].items()},
            repository_claim=str(table.get("repository_claim", "repository")),
            jwks_url=str(table.get("jwks_url", "")),
            scopes=frozenset(table.get("scopes", ["submit"])),
            quota=Quota(**{field.name: int(table.get(field.name, 0)) for field in fields(Quota)}),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(
            f"{path}: a [[policy]] lacks or garbles {error}", hint="docs/security.md shows one"
        ) from None
    if not policy.scopes <= set(SCOPES) or "admin" in policy.scopes:
        raise ConfigurationError(f"{path}: scopes are {sorted(policy.scopes)}; expected submit or read")
    pinned = [*policy.claims.get(policy.repository_claim, ()), *policy.claims.get("repository_owner", ())]
    if not pinned or "*" in pinned:
        raise ConfigurationError(
            f"{path}: the policy for {policy.issuer} names no repository", hint='claims.repository = ["OWNER/NAME"]'
        )
    return policy


@dataclass(slots=True)
class _Keys:
    by_id: dict[str, Any] = field(default_factory=dict)
    fetched_at: float = float("-inf")
    fetching: asyncio.Task[None] | None = None


class Oidc:
    """
    Takes a token, gives a caller. Keys of issuers are kept for an hour, and looked for again when one is new.

    An issuer is asked by one thread at a time, whatever comes in meanwhile; those who wait for it hold no thread.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        *,
        fetch: FetchKeys | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies = policies
        self._fetch = fetch or _fetch_json
        self._clock = clock
        self._keys: dict[str, _Keys] = {}

    async def __call__(self, token: str) -> Caller:
        """The caller that the token speaks for. Raises RefusalError, without a word on what exactly was wrong."""
        try:
            head = jwt.get_unverified_header(token)
            unproven = jwt.decode(token, options={"verify_signature": False})  # nosemgrep: signature-not-verified
            issuer = str(unproven.get("iss", "")).rstrip("/")  # it only says with whose keys the token is to be checked
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise _refusal() from None
        policies = [policy for policy in self._policies if policy.issuer == issuer]
        if not policies or head.get("alg") not in _ALGORITHMS:
            raise _refusal()
        key = await self._key(policies[0], str(head.get("kid", "")))
        for policy in policies:
            claims = self._claims(token, key, str(head["alg"]), policy)
            if claims is not None and _fits(claims, policy):
                repository = str(claims[policy.repository_claim])
                return Caller(
                    name=f"{issuer} {repository}",
                    scopes=policy.scopes,
                    repositories=(repository,),
                    quota=policy.quota,
                )
        raise _refusal()

    def _claims(self, token: str, key: Any, algorithm: str, policy: Policy) -> dict[str, Any] | None:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=policy.audience,
                options={
                    "require": ["exp", "iat", "aud", "iss"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            now, expires, begins = self._clock(), float(claims["exp"]), float(claims.get("nbf", claims["iat"]))
        except (jwt.InvalidTokenError, ValueError, TypeError):
            return None
        return claims if begins - LEEWAY_S <= now <= expires + LEEWAY_S else None

    async def _key(self, policy: Policy, id: str) -> Any:
        keys = self._keys.setdefault(policy.issuer, _Keys())
        age_s = self._clock() - keys.fetched_at
        if keys.fetching is None and (age_s > KEYS_KEPT_S or (id not in keys.by_id and age_s > ASK_AGAIN_AFTER_S)):
            keys.fetched_at = self._clock()
            keys.fetching = asyncio.create_task(self._look_for_keys(policy, keys))
        if id not in keys.by_id and keys.fetching is not None:
            await asyncio.shield(keys.fetching)  # the others wait for it, too
        if id not in keys.by_id:
            raise _refusal()
        return keys.by_id[id]

    async def _look_for_keys(self, policy: Policy, keys: _Keys) -> None:
        """Old keys stay good while the issuer cannot be reached."""
        try:
            found = await asyncio.to_thread(self._published, policy)
            keys.by_id = {str(key.key_id): key.key for key in found.keys}
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            _LOG.warning("the keys of %s cannot be had: %s", policy.issuer, error)
        finally:
            keys.fetching = None

    def _published(self, policy: Policy) -> jwt.PyJWKSet:
        url = policy.jwks_url or self._fetch(f"{policy.issuer}/.well-known/openid-configuration")["jwks_uri"]
        return jwt.PyJWKSet.from_dict(dict(self._fetch(url)))


def _fits(claims: Mapping[str, Any], policy: Policy) -> bool:
    return policy.repository_claim in claims and all(
        any(fnmatchcase(str(claims.get(name, "")), pattern) for pattern in patterns)
        for name, patterns in policy.claims.items()
    )


def _refusal() -> RefusalError:
    return RefusalError(
        401,
        "the token is not one that this coordinator takes",
        hint="see docs/security.md for OIDC",
        is_suspicious=True,
    )


def _fetch_json(url: str) -> Mapping[str, Any]:
    """
    A JSON document by HTTPS. Raises OSError.

    An authority of one's own may be named in REQUESTS_CA_BUNDLE, or in SSL_CERT_FILE as for Python's own TLS.
    """
    import requests

    if not url.startswith("https://"):
        raise ValueError(f"{url} is not https")
    authorities = os.environ.get("REQUESTS_CA_BUNDLE") or ssl.get_default_verify_paths().cafile or True
    with requests.get(url, timeout=10, stream=True, allow_redirects=False, verify=authorities) as response:
        response.raise_for_status()
        content = response.raw.read(MOST_DOCUMENT_BYTES + 1, decode_content=True)
    if len(content) > MOST_DOCUMENT_BYTES:
        raise ValueError(f"{url} gives more than {MOST_DOCUMENT_BYTES:,} bytes")
    found: Mapping[str, Any] = json.loads(content)
    return found

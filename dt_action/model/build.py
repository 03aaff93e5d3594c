"""The build that a run belongs to, as the CI service tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """
    Where and for what a run takes place; empty strings where the CI service does not say.

    `commit` is the commit a person pushed (a pull request's head, not GitHub's merge commit); `environment` tells
    the legs of a matrix apart; `attempt` counts re-runs from 1.
    """

    provider: str = "generic"
    repository: str = ""
    commit: str = ""
    base_commit: str = ""
    branch: str = ""
    pull_request: int | None = None
    run_id: str = ""
    run_number: int = 0
    attempt: int = 1
    job: str = ""
    url: str = ""
    server_url: str = ""
    environment: str = ""
    is_default_branch: bool = False

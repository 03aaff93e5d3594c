"""The build that a run belongs to, as the CI service tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """
    Where and for what a run takes place; empty strings where the CI service does not say.

    `commit` is the commit a person pushed (a pull request's head, not GitHub's merge commit), and `checked_out` the one
    that the service has checked out, where it says so. `base_branch` is the branch that a pull request goes to, and
    `base_commit` a commit that the event names: of that branch, or, for a push, what the branch was before, which a
    forced one (`is_forced`) threw away. `environment` tells the legs of a matrix apart; `attempt` counts re-runs.
    """

    provider: str = "generic"
    repository: str = ""
    commit: str = ""
    checked_out: str = ""
    base_commit: str = ""
    base_branch: str = ""
    default_branch: str = ""
    is_forced: bool = False
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

"""Who says something on a CI service: one job, one leg of a matrix, one step."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

Order = tuple[int, int]
"""A run's number and attempt on its CI service: a later one is greater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """
    Who says something: `key` is the same for every run of a job, `writer` for this one alone.

    `run` and `attempt` grow with time within a `workflow`.
    """

    key: str
    writer: str = ""
    workflow: str = ""
    run: int = 0
    attempt: int = 1

    @property
    def order(self) -> Order:
        """A later run has a greater one, and so has a later attempt at the same run."""
        return self.run, self.attempt


def key_of(*words: str) -> str:
    """One short word for several, another one for others."""
    return hashlib.sha256(json.dumps(words).encode("ascii")).hexdigest()[:12]


def named(job: str, *words: str) -> str:
    """`unit` and what tells one of its legs from the others: `unit (3.13, linux, 1/4)`."""
    rest = ", ".join(filter(None, words))
    return f"{job} ({rest})" if rest else job

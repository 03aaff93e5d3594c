"""What the pytest sessions of a run's slots have in common on one machine, and what each is told at its start."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from dt_action.model.holding import Visible
from dt_action.model.pytest_start import PytestStart
from dt_action.model.slot_protocol import CONTROLLER

THREADS = (
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    ("NUMEXPR_NUM_THREADS",),
    ("POLARS_MAX_THREADS",),
)
"""The variables by which numerical libraries are told how many threads to start, by what they fall back on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """
    Every slot's process leaves in `folder` what its tests entered and opened below `top`, the repository's top.

    `always` also where that is expensive, before Python 3.12.
    """

    folder: Path
    top: Path
    always: bool = False

    def message(self) -> dict[str, Any]:
        """What the slot is told, see `runner.recording`."""
        return {"folder": str(self.folder), "top": str(self.top), "always": self.always}


def new_run() -> str:
    """A name that no other run has."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """
    What every slot's pytest session has in common on one machine: `start` is the run's word, the rest the machine's.

    Processes of the interpreter `python` are started in `root`. `environ` is what the tests see of the environment:
    pass none of our secrets in it. `mark` is a name that no other host has; empty where the run has but one.
    `data_file` is how the paths of coverage's data files begin, where the run measures. `visible` are the devices of a
    process, among several, of which nothing else was said. `fair_threads` is a process's share of the processors, 0
    where nobody knows it.
    """

    root: Path
    python: str
    start: PytestStart
    environ: Mapping[str, str]
    mark: str = ""
    data_file: PurePath | None = None
    recording: Recording | None = None
    visible: Visible | None = None
    fair_threads: int = 0

    def config(
        self,
        slot: str,
        *,
        channel: Any,
        basetemp: str,
        rewritten: str,
        is_plain: bool | None = None,
        control: int | None = None,
    ) -> str:
        """
        What a process is told at its start, see `runner.bootstrap`.

        `is_plain` tells that it is plain pytest's only process; without a word, it is where there is one slot. Over
        `control` it is told to fork slots, once it has collected for them.
        """
        start, is_slot = self.start, slot != CONTROLLER
        measure = {"data_file": str(self.data_file), "contexts": start.has_contexts}
        return json.dumps(
            {
                **start.config(),
                "role": "slot" if is_slot else "controller",
                "channel": channel,
                "worker": not self.runs_plain(is_plain),
                "control": control,
                "imports": start.imports or control is not None,
                "controller": start.shows_pytest,
                "shares_hash_seed": self.hash_seed != "",
                "slot": slot,
                "basetemp": basetemp,
                "rewritten": rewritten,
                "measure": measure if start.measures and self.data_file and is_slot else None,
                "record": self.recording.message() if self.recording and is_slot else None,
            }
        )

    def runs_plain(self, is_plain: bool | None) -> bool:
        """Whether a process is plain pytest's only one, as far as was said."""
        return self.start.slots == 1 if is_plain is None else is_plain

    @property
    def hash_seed(self) -> str:
        """
        Python's hash seed for all processes of the run, so that a set has one order and makes one list of tests.

        Empty where the user's own environment says what it is.
        """
        return "" if self.environ.get("PYTHONHASHSEED") else str(zlib.crc32(self.start.run.encode("utf-8")))

    def variables(self, slot: str, *, is_plain: bool | None = None) -> dict[str, str]:
        """The variables that pytest-xdist's workers have, so that plugins written for it work."""
        seed = {"PYTHONHASHSEED": self.hash_seed} if self.hash_seed else {}
        if slot == CONTROLLER or self.runs_plain(is_plain):
            return seed
        return {
            **seed,
            **self._thread_limits(),
            "PYTEST_XDIST_WORKER": slot,
            "PYTEST_XDIST_WORKER_COUNT": str(self.start.slots),
            "PYTEST_XDIST_TESTRUNUID": self.start.run,
        }

    def _thread_limits(self) -> dict[str, str]:
        """
        So that several processes do not start as many threads each as there are processors.

        What the user's environment says of one of the libraries that fall back on OpenMP's word counts for all of them.
        """
        threads = self.fair_threads if self.start.threads is None else self.start.threads
        families = [family for family in THREADS if not any(name in self.environ for name in family)]
        return {name: str(threads) for family in families for name in family} if threads else {}

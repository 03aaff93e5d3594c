"""How pytest is started for a run: by which interpreter, with what, and in how many processes, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from dt_action.app import readings
from dt_action.hosts.process import Host
from dt_action.hosts.session import Session, new_run
from dt_action.model.holding import Visible
from dt_action.options import Settings
from dt_action.probes.processor import auto_slots, processors

if TYPE_CHECKING:
    from dt_action.hosts.session import Recording
    from dt_action.model.pytest_start import PytestStart


@dataclass(slots=True, kw_only=True)
class Starts:
    """
    What settings say of how pytest is started. `names_files` and `shows_pytest` are as in `Wiring`.

    `python` is the tests' interpreter, once `host` has prepared it; empty before that.
    """

    settings: Settings
    environ: Mapping[str, str]
    say: Callable[[str], None]
    names_files: bool = False
    shows_pytest: bool = False
    python: str = ""
    _slots: int = 0

    @property
    def processes(self) -> int:
        """How many slots this machine has for the run."""
        if self.settings.workers or self._slots:
            return self.settings.workers or self._slots
        self._slots, wished = auto_slots(), processors()
        if self._slots < wished:
            self.say(f"workers: {self._slots} instead of {wished}, since the memory limit leaves no more than that")
        return self._slots

    def environment(self) -> tuple[str, Mapping[str, str]]:
        """The tests' interpreter and environment variables, prepared as the settings ask."""
        from dt_action.app.tests_environment import prepared

        return prepared(self.settings, self.environ, self.say)

    def here(self, files: Sequence[str]) -> PytestStart:
        """For slots on this machine. `files` are those that pytest is to be given, where they were named."""
        return replace(self._anywhere(files), run=new_run(), slots=self.processes)

    def elsewhere(self, files: Sequence[str]) -> PytestStart:
        """The same, for slots on other machines, which prepare what the tests need."""
        from dt_action.app.tests_environment import requirements_of

        requirements = requirements_of(self.settings, self.say)
        return replace(self._anywhere(files), requirements=requirements, setup=self.settings.setup or "")

    def host(self, files: Sequence[str], *, data_file: PurePath | None, recording: Recording | None) -> Host:
        """The processes on this machine, which measure into `data_file` and record as they are told."""
        self.python, variables = self.environment()
        session = Session(
            root=self.settings.root,
            python=self.python,
            fair_threads=max(1, processors() // self.processes),
            start=self.here(files),
            environ=variables,
            data_file=data_file,
            recording=recording,
            visible=self._visible_to_plain(),
        )
        return Host(session)

    def _anywhere(self, files: Sequence[str]) -> PytestStart:
        paths = tuple(files) if self.names_files else readings.collection_arguments(self.settings, files)
        return replace(readings.pytest_start(self.settings, paths), shows_pytest=self.shows_pytest)

    def _visible_to_plain(self) -> Visible | None:
        """What a process sees that is started before anybody knows what it will run: no device of this machine."""
        from dt_action.probes import has_device_files, this_machine

        if self.settings.gpu_sharing == "all" or not has_device_files(self.environ):
            return None
        kinds = frozenset(device.kind for device in this_machine(self.environ).devices)
        return Visible(kinds=kinds) if kinds else None

"""What tests enter and open, in a run's wiring: where slots leave it, and when it is worth remembering."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from functools import cached_property
from pathlib import Path

from dt_action.hosts.session import Recording
from dt_action.options import Settings
from dt_action.workspace.git import Git


class Recorder:
    """
    Where the slots of one run leave what their tests entered and opened.

    Only what ran the very files of a commit can be compared with later ones: where the working tree holds edits,
    nothing is recorded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._git = Git(settings.root)
        self._folder: Path | None = None

    @cached_property
    def commit(self) -> str:
        """The commit whose files run; empty where they are those of none."""
        return self._git.commit()

    def recording(self) -> Recording | None:
        """What slots are told; None where there is nothing to be recorded."""
        settings = self._settings
        if settings.record == "never" or settings.fleet != "local" or settings.isolation == "container":
            return None
        if not self.commit:
            return None
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="dt-recording-"))
        return Recording(folder=self._folder, top=self._git.top(), always=settings.record == "always")

    def recorded(self) -> str:
        """What slots left, packed for the history; empty where that is nothing, or files were edited meanwhile."""
        from dt_action.history import recordings

        if self._folder is None or self._git.commit() != self.commit:
            return ""
        settings = self._settings
        found = recordings.gather(
            self._folder,
            root=settings.root,
            prefix=self._git.prefix(),
            commit=self.commit,
            arguments=shlex.join(settings.pytest_args),
        )
        return recordings.pack(found) if found is not None and found.cases else ""

    def close(self) -> None:
        """Remove what slots left."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

"""How pytest is started: one record, carried whole from the settings to the process, over every wire between them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

PREPARED = frozenset({"directory", "requirements", "setup", "threads"})
"""What is seen to before there is a process, and no business of it: a setup command may hold secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PytestStart:
    """
    How pytest is started in every slot of a run, and what is prepared for it.

    It starts in `directory` of the source tree, with the arguments `args`, once `requirements` are installed and the
    command `setup` has run. `isolation` is `session`, `file`, `test` or `container`; `start_method` says whether slots
    are forked (`auto`, `fork`, `spawn`). `retries` is how often a slot tries a failing case again at once,
    `import_path` where tests import the project from, `dist` what stays together in place of the project's own word.
    `measures` asks for coverage, `has_contexts` for which test ran a line. `artifact_bytes` of the files that a test
    leaves are brought to where the run was started. Numerical libraries use so many `threads` in each process: 0 as
    many as they like, None a fair share. With `shows_pytest` the controller session is always there, and prints what
    pytest prints. `run` is a name in hexadecimal digits that no other run has, and
    `slots` how many the run may have at a time; whoever hands the slots out fills these two in.

    A new attribute is a field here, and a line of the runner that heeds it (`config` is what its process is told).
    """

    args: tuple[str, ...] = ()
    directory: str = ""
    requirements: tuple[str, ...] = ()
    setup: str = ""
    isolation: str = "session"
    start_method: str = "auto"
    retries: int = 0
    import_path: str = "cwd"
    dist: str = ""
    measures: bool = False
    has_contexts: bool = False
    artifact_bytes: int = 0
    threads: int | None = None
    shows_pytest: bool = False
    run: str = ""
    slots: int = 1

    @property
    def imports(self) -> bool:
        """True where each process imports all test modules first, as plain pytest does."""
        return self.isolation != "file"

    @property
    def tools(self) -> tuple[str, ...]:
        """What an environment made for the run has beside the project's requirements."""
        return ("pytest", "coverage") if self.measures else ("pytest",)

    def config(self) -> dict[str, Any]:
        """What each slot's process is told of it at its start, see `runner.bootstrap`."""
        told = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in PREPARED}
        return {**told, "imports": self.imports}

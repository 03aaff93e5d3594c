"""Shards in a run's wiring: what a plan is cut by, so that all of its shards cut it alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from dt_action.discovery.pytest_config import keeps_files_whole
from dt_action.errors import ConfigurationError, UnreadableError
from dt_action.model.case import TestFile
from dt_action.model.plan import Plan, PlannedFile
from dt_action.options import Settings
from dt_action.planning import handed_on
from dt_action.planning.choice import Choice
from dt_action.planning.counting import Counted, Fixtures, count, fixtures_of
from dt_action.planning.cut import Weight, cut, divide, whole

LEAST_CASES = 10
LEAST_MS = 2000
"""A file is cut inside where each part has so many cases or, where times are known, takes so long."""

UNITS_PER_CASE = 1000


class Shards:
    """
    What a plan is cut by: the plan that another job handed on, else the sources of the test files.

    Never the history: it is another one in each job, and every shard of a sequence changes it for the next.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ

    @cached_property
    def handed(self) -> handed_on.HandedPlan | None:
        """The plan that was handed on. Raises ConfigurationError where it cannot be read."""
        name = self._settings.plan_file
        if not name:
            return None
        path = self._settings.root / name
        told = f"{self._settings.told_by('plan_file')} is {name!r}"
        try:
            return handed_on.read(path.read_bytes(), source=name)
        except OSError as error:
            raise ConfigurationError(
                f"{told}, which cannot be read: {error.strerror or error}",
                hint=f"make it first, in a job before this one: dt plan --plan-file {name}",
            ) from error
        except UnreadableError as error:
            raise ConfigurationError(f"{told}; {error}") from error

    def chosen(self, files: Sequence[TestFile], otherwise: Callable[[], Choice | None]) -> Choice | None:
        """The choice of files that the plan handed on made; where there is none, the run's own."""
        return self.handed.choice(files) if self.handed is not None else otherwise()

    def cut(self, plan: Plan) -> Plan:
        """What of the plan is this run's."""
        shard = self._settings.shard
        if shard is None or self._settings.join:
            return whole(plan)
        return cut(plan, self.weights(plan.files), shard, basis=self._settings.shard_by)

    def most(self, files: Sequence[PlannedFile], wanted: int) -> int:
        """Into how many shards, at most `wanted`, files can be cut with something to do for each."""
        weights = self.weights(files)
        while wanted > 1:
            busy = {index for pieces in divide(files, weights, wanted).values() for index, _ in pieces}
            if len(busy) == wanted:
                break
            wanted = len(busy)
        return max(wanted, 1)

    def save(self, plan: Plan) -> None:
        """Hand the plan on. Raises ConfigurationError where it cannot be written."""
        name = self._settings.plan_file or ""
        path = self._settings.root / name
        counted = {path: counted.cases for path, counted in self._counted(plan.files).items()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(handed_on.write(handed_on.handed_on(plan, counted)))
        except OSError as error:
            raise ConfigurationError(
                f"{self._settings.told_by('plan_file')} is {name!r}, which cannot be written: {error}"
            ) from error

    def weights(self, files: Sequence[PlannedFile]) -> Mapping[str, Weight]:
        """How heavy files are, and which of them may be cut inside."""
        settings = self._settings
        counted = self._counted(files)
        if self.handed is None:
            least = LEAST_CASES * UNITS_PER_CASE
            weights = {path: Weight(units=item.cases * UNITS_PER_CASE, least=least) for path, item in counted.items()}
        else:
            weights = self.handed.weights({path: item.cases for path, item in counted.items()}, LEAST_MS)
        if settings.shard_by == "files" or settings.isolation in ("file", "test") or self._are_kept_whole():
            return {path: Weight(units=weight.units) for path, weight in weights.items()}
        together = {path for path, item in counted.items() if item.is_one_piece}
        together |= {file.path for file in files if file.chosen}
        return {path: Weight(units=weight.units) if path in together else weight for path, weight in weights.items()}

    def _are_kept_whole(self) -> bool:
        settings = self._settings
        start = [settings.root / settings.test_dir] if settings.test_dir else []
        return keeps_files_whole(settings.root, start, settings.pytest_args, self._environ)

    def _counted(self, files: Iterable[PlannedFile]) -> dict[str, Counted]:
        above = _Conftests(self._settings.root)
        return {
            file.path: count(_content(self._settings.root / file.path), above.of(file.path))
            if file.path.endswith(".py")
            else Counted(cases=1, is_one_piece=True)
            for file in files
        }


class _Conftests:
    """The fixtures of module scope in the conftest files under a root, each read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Fixtures] = {}

    def of(self, path: str) -> list[Fixtures]:
        """Those of the file's folder and of the folders above it."""
        found = []
        for folder in PurePosixPath(path).parents:
            name = (folder / "conftest.py").as_posix()
            if name not in self._known:
                self._known[name] = fixtures_of(_content(self._root / name))
            found.append(self._known[name])
        return found


def _content(path: Path) -> bytes:
    """The file's bytes; none where it cannot be read, which pytest will tell."""
    try:
        return path.read_bytes()
    except OSError:
        return b""

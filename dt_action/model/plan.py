"""What is to be run: the files, with what is known of them, and how shards divide them."""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dt_action.model.case import OTHER_TYPE
from dt_action.model.change import Selection
from dt_action.model.hardware import FileNeeds


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """
    The cases of a file from `start` to before `end`, of `of` units of weight that all its cases have together.

    Nothing but the file's cases and these numbers say which cases those are (`runner.portions`), so that shards which
    know nothing of one another take each case once. `weights` has units of single cases by id, where they are known.
    """

    start: int
    end: int
    of: int
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFile:
    """
    A test file to be run. `expected_s` is a guess of its tests' seconds, `cases_s` those of single tests by id.

    `is_measured` tells whether `expected_s` comes from an earlier run or from the file's size. Where `chosen` is not
    empty, only these cases (by id) are to be run; of a file that several shards divide, only this `portion`. A file
    that `goes_first` starts before others of its priority. One that `keeps_whole` has tests that need their order;
    `single` names fixtures of its tests that only one process can have at a time.
    """

    path: str
    needs: FileNeeds
    test_type: str = ""
    expected_s: float = 0.0
    is_measured: bool = False
    cases_s: Mapping[str, float] = field(default_factory=dict)
    chosen: tuple[str, ...] = ()
    portion: Portion | None = None
    goes_first: bool = False
    keeps_whole: bool = False
    single: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Share number `index` (from 1) of `count` static shares."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def takes(self, path: str) -> bool:
        """True where a file that no plan knew falls to this share; of all shares of a plan, it falls to one."""
        return zlib.crc32(path.encode("utf-8", "surrogatepass")) % self.count == self.index - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    The files of a run, in the order in which they should start.

    `is_selection` tells that only these files are wanted (one test type, files named one by one). Without it, files
    that pytest finds beyond them (doctests, a plugin's own kinds) are run too. `selection` tells why. Of a plan that
    is cut into shards this is what `shard` has; `elsewhere` are the files that other shards have, and `digest` stands
    for the whole and how it was cut: it is the same in each of them. `done` are files, as pytest names them, that an
    earlier attempt has finished.
    """

    files: tuple[PlannedFile, ...]
    shard: Shard | None = None
    is_selection: bool = False
    selection: Selection | None = None
    elsewhere: tuple[str, ...] = ()
    digest: str = ""
    done: tuple[str, ...] = ()

    @property
    def others(self) -> frozenset[str]:
        """The files that are not to be run here, since another shard or an earlier attempt has them."""
        return frozenset((*self.elsewhere, *self.done))

    def own(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are to be run here, whether the plan knew them or not."""
        mine, others = {file.path for file in self.files}, self.others
        takes = self.shard.takes if self.shard is not None else lambda path: True
        return [path for path in paths if path in mine or (path not in others and takes(path))]

    def renamed(self, name: Callable[[str], str]) -> Plan:
        """The plan with other names for its files: pytest's, where that was started elsewhere."""
        files = tuple(replace(file, path=name(file.path)) for file in self.files)
        return replace(self, files=files, elsewhere=tuple(map(name, self.elsewhere)))

    def seen_from(self, rootdir: str, base: str) -> Plan:
        """
        The plan with its files named as pytest does, from its rootdir, which may lie above or below where it started.

        `base` is the way from the rootdir to where pytest was started, `rootdir` the way back.
        """
        if rootdir.startswith(".."):
            return self.renamed(lambda path: posixpath.normpath(posixpath.join(base, path)))
        return self.renamed(lambda path: posixpath.relpath(path, rootdir))

    @property
    def single_fixtures(self) -> frozenset[str]:
        """The fixtures that only one process can have at a time, as far as that is known."""
        return frozenset(name for file in self.files for name in file.single)

    def types(self) -> Mapping[str, str]:
        """The test type of each file, where there are several; else nothing."""
        types = {file.path: file.test_type or OTHER_TYPE for file in self.files}
        return types if len(set(types.values())) > 1 else {}

    @property
    def expected_s(self) -> float:
        """The sum of what the files are expected to take."""
        return sum(file.expected_s for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """
    A file that shards divide, as one of them collected it: `portion` of it is that shard's, which held `mine` cases.

    `cases` is how many there are over all shards, and `ids` a digest of their ids.
    """

    path: str
    portion: Portion
    cases: int
    mine: int
    ids: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    What a report tells of the plan, so that the reports of all shards can be held against one another.

    `plan` is the plan's digest; `files` are all files over all shards, `mine` those of which this one had all or a
    part, `divided` those of which it had a part. `beyond` are files that pytest found and no plan had.
    """

    plan: str
    files: tuple[str, ...] = ()
    mine: tuple[str, ...] = ()
    divided: tuple[Divided, ...] = ()
    beyond: tuple[str, ...] = ()

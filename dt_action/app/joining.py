"""`--join` in a run's wiring: this job takes parts of a plan from a queue until nothing is left."""

from __future__ import annotations

import json
import os
import re
import socket
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from dt_action.errors import ConfigurationError, DtError, UnreadableError
from dt_action.judging.together import together
from dt_action.model.build import Build
from dt_action.model.json_codec import from_jsonable, to_jsonable
from dt_action.model.plan import Plan, Share
from dt_action.model.run import Run
from dt_action.options import Settings
from dt_action.planning.cut import Weight
from dt_action.planning.queue import BEYOND, Item, Queue, claimed, digest_of_items, items_of, next_claim, rounds_of
from dt_action.workspace.shared_ref import SharedRef

USUAL_JOBS = 4
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class Joining:
    """
    One of several jobs that work off a plan. What a job has claimed is its own, in every attempt at it.

    A job that is run again runs first what it had claimed before, narrowed by `narrow` to what is left of that.
    """

    def __init__(
        self,
        settings: Settings,
        build: Build,
        *,
        say: Callable[[str], None],
        narrow: Callable[[Plan, str], Plan] | None = None,
    ) -> None:
        name = settings.join or ""
        if not _NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
            raise ConfigurationError(
                f"{settings.told_by('join')} is {name!r}; expected a name of letters, digits, dots and hyphens",
                hint="such as the number of the pipeline: --join $CI_PIPELINE_ID",
            )
        if settings.fleet != "local":
            raise ConfigurationError(
                f"{settings.told_by('join')} is for --fleet local; a {settings.fleet} hands out tests itself",
                hint="leave one of the two out",
            )
        self._ref = SharedRef(root=settings.root, name=name)
        self._say = say
        self._narrow = narrow
        self.job = _job(settings, build)
        self.jobs = settings.join_jobs or (settings.shard.count if settings.shard else USUAL_JOBS)

    @property
    def shard(self) -> str:
        """What the report calls this job's share."""
        return f"@{self.job}"

    def run(self, plan: Plan, weights: Mapping[str, Weight], execute: Callable[[Plan], Run]) -> Run:
        """
        Claim and execute until nothing is left; all of it as one run.

        Raises FleetError where the queue cannot be reached, ConfigurationError where it is of another plan.
        """
        items = items_of(plan, weights, self.jobs)
        runs: list[Run] = []
        has_beyond = False
        try:
            for part, numbers in self._parts(plan, items):
                has_beyond |= any(items[number].path == BEYOND for number in numbers)
                runs.append(execute(part))
                if runs[-1].status != "completed":
                    break
        except DtError as error:
            if not runs:
                raise
            runs[-1] = replace(runs[-1], status="stopped", reason=str(error))  # what is finished is not thrown away
        took_s = self._ref.took_s
        if took_s:
            self._say(f"claimed {len(took_s)} times, {sum(took_s) / len(took_s):.2f} s each")
        whole = together(runs or [execute(claimed(plan, items, []))], self.shard)
        return replace(whole, is_selection=plan.is_selection, share=_share(whole, plan, has_beyond=has_beyond))

    def _parts(self, plan: Plan, items: Sequence[Item]) -> Iterator[tuple[Plan, Sequence[int]]]:
        """What to execute next, with the numbers of its items: at first what was this job's before."""
        before = self._claim(items, lambda queue: queue.of(self.job))
        for some in rounds_of(items, before):
            part = claimed(plan, items, some)
            yield (self._narrow(part, self.shard) if self._narrow else part), some
        while numbers := self._claim(items, lambda queue: next_claim(queue, items, self.job, jobs=self.jobs)):
            for some in rounds_of(items, numbers):
                yield claimed(plan, items, some), some

    def _claim(self, items: Sequence[Item], choose: Callable[[Queue], Sequence[int]]) -> Sequence[int]:
        """What `choose` takes of the queue as it stands; noted there, where it was not this job's before."""
        digest = digest_of_items(items)
        numbers: Sequence[int] = ()

        def change(content: bytes) -> bytes | None:
            nonlocal numbers
            queue = _read(content, self._ref.name) if content else Queue(plan=digest)
            if queue.plan != digest:
                raise ConfigurationError(
                    f"the queue {self._ref.name} is of plan {queue.plan}, and this job's is {digest}",
                    hint="do all jobs have the same files, options and --join-jobs?",
                )
            numbers = choose(queue)
            if set(numbers) <= set(queue.of(self.job)):
                return None
            return json.dumps(to_jsonable(queue.with_claim(self.job, numbers))).encode("ascii")

        self._ref.update(change)
        if numbers:
            self._say(f"{self._ref.name}: {self.job} takes {len(numbers)} of the {len(items)} parts of the plan")
        return numbers


def _share(run: Run, plan: Plan, *, has_beyond: bool) -> Share | None:
    if run.share is None or plan.is_selection:
        return run.share
    mine = tuple(sorted({*run.share.mine, *([BEYOND] if has_beyond else [])}))
    return replace(run.share, files=(*run.share.files, BEYOND), mine=mine)


def _read(content: bytes, name: str) -> Queue:
    try:
        return from_jsonable(Queue, json.loads(content), source=f"the queue {name}")
    except ValueError as error:
        raise UnreadableError(f"the queue {name} is not one of dt: {error}") from None


def _job(settings: Settings, build: Build) -> str:
    """What tells this job from the others, the same in each attempt at it; a person's runs are all different."""
    if not build.job:
        return settings.label or f"{socket.gethostname()}-{os.getpid()}"
    leg = f" {zlib.crc32((settings.leg or '').encode('utf-8', 'surrogatepass')):08x}" if settings.leg else ""
    label = f" {settings.label}" if settings.label else ""
    shard = f" {settings.shard}" if settings.shard else ""
    return f"{build.job}{label}{leg}{shard}"

"""What CI services say of jobs that are copies of one another: which of how many this one is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dt_action.model.plan import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class _Service:
    """
    The variables of a CI service. `first` is the index of the first job.

    `are_copies` tells whether the jobs are copies at all: some services also number the legs of a matrix, each of
    which has to run everything.
    """

    name: str
    index: str
    count: str
    first: int
    are_copies: Callable[[Mapping[str, str], Path], bool] = lambda environ, root: True


def shard_of(environ: Mapping[str, str], root: Path) -> tuple[Shard, str] | None:
    """The share of a job among its copies, and where that came from; None where it is alone, or none of copies."""
    for service in SERVICES:
        index, count = _number(environ, service.index), _number(environ, service.count)
        if index is None or count is None or count < 2:
            continue
        number = index - service.first + 1
        if 1 <= number <= count and service.are_copies(environ, root):
            return Shard(index=number, count=count), f"the parallel jobs of {service.name} ({service.index})"
    return None


def _is_numbered_by_gitlab(environ: Mapping[str, str], root: Path) -> bool:
    """`parallel: 4` numbers its jobs by name: `test 2/4`. The legs of `parallel:matrix` are `test: [a, b]`."""
    name = f"{environ['CI_NODE_INDEX']}/{environ['CI_NODE_TOTAL']}"
    return environ.get("CI_JOB_NAME", "").rstrip("]").endswith(name)


def _is_sliced_by_azure(environ: Mapping[str, str], root: Path) -> bool:
    """`strategy: parallel`; for a matrix it is `MultiConfiguration`."""
    return environ.get("SYSTEM_PARALLELEXECUTIONTYPE", "") == "MultiMachine"


def _are_alike_on_bitbucket(environ: Mapping[str, str], root: Path) -> bool:
    """
    True where the steps of every parallel group of this size have the same script.

    Bitbucket numbers the steps of any group, also of one with a step for the style and one for the tests.
    """
    import yaml

    path = Path(environ.get("BITBUCKET_CLONE_DIR", "") or root) / "bitbucket-pipelines.yml"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return False
    groups = [group for group in _groups(document) if len(group) == _number(environ, "BITBUCKET_PARALLEL_STEP_COUNT")]
    return bool(groups) and all(scripts[0] and all(script == scripts[0] for script in scripts) for scripts in groups)


def _groups(node: object) -> Iterator[list[object]]:
    """The scripts of the steps of each parallel group, wherever it stands."""
    if isinstance(node, list):
        for item in node:
            yield from _groups(item)
    elif isinstance(node, dict):
        group = node.get("parallel")
        steps = group.get("steps") if isinstance(group, dict) else group
        if isinstance(steps, list):
            yield [_script(item) for item in steps]
        for item in node.values():
            yield from _groups(item)


def _script(item: object) -> object:
    step = item.get("step") if isinstance(item, dict) else None
    return step.get("script") if isinstance(step, dict) else None


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else None


SERVICES = (
    _Service(name="GitLab", index="CI_NODE_INDEX", count="CI_NODE_TOTAL", first=1, are_copies=_is_numbered_by_gitlab),
    _Service(name="Buildkite", index="BUILDKITE_PARALLEL_JOB", count="BUILDKITE_PARALLEL_JOB_COUNT", first=0),
    _Service(name="CircleCI", index="CIRCLE_NODE_INDEX", count="CIRCLE_NODE_TOTAL", first=0),
    _Service(
        name="Azure Pipelines",
        index="SYSTEM_JOBPOSITIONINPHASE",
        count="SYSTEM_TOTALJOBSINPHASE",
        first=1,
        are_copies=_is_sliced_by_azure,
    ),
    _Service(
        name="Bitbucket",
        index="BITBUCKET_PARALLEL_STEP",
        count="BITBUCKET_PARALLEL_STEP_COUNT",
        first=0,
        are_copies=_are_alike_on_bitbucket,
    ),
    _Service(name="Semaphore", index="SEMAPHORE_JOB_INDEX", count="SEMAPHORE_JOB_COUNT", first=1),
)
"""
Where the numbers are described: docs.gitlab.com/ci/yaml/#parallel, buildkite.com/docs/pipelines/environment-variables,
circleci.com/docs/parallelism-faster-jobs, learn.microsoft.com/azure/devops/pipelines/build/variables,
support.atlassian.com/bitbucket-cloud/docs/set-up-or-run-parallel-steps, docs.semaphoreci.com (environment variables).
"""

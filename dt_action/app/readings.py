"""Settings in the words of those who work by them: nothing is looked up or started here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, cast

from dt_action.options import Settings

if TYPE_CHECKING:
    from dt_action.analysis.explicit import PathRule
    from dt_action.model.build import Build
    from dt_action.model.plan import Plan
    from dt_action.model.pytest_start import PytestStart
    from dt_action.providers.settings import Settings as Publishing
    from dt_action.remote.wire import Submission

L = TypeVar("L")

_LEAVE_OUT = frozenset(
    ("--deselect", "--ignore", "--ignore-glob", "--last-failed", "--lf", "--stepwise", "--stepwise-skip", "--sw")
)


def is_selection(settings: Settings) -> bool:
    """True where only the discovered files are wanted, and not what else pytest finds."""
    types, hardware = settings.test_type, settings.hardware
    by_type, by_hardware = bool(types) and "all" not in types, bool(hardware) and "all" not in hardware
    return bool(settings.test_files or settings.test_pattern or by_type or by_hardware)


def in_sight(settings: Settings, cases: Iterable[str]) -> frozenset[str]:
    """
    Those of earlier cases that this run has, too, unless they were removed since.

    Cases outside of the paths that were given are not missed, nor any where pytest was asked to leave some out (`-k`).
    """
    if any(word.partition("=")[0] in _LEAVE_OUT or word[:2] in ("-k", "-m") for word in settings.pytest_args):
        return frozenset()
    given = settings.paths or ((settings.test_dir,) if settings.test_dir else ())
    below = [os.path.relpath(settings.root / path, settings.root).replace(os.sep, "/") for path in given]
    if not below or "." in below:
        return frozenset(cases)
    return frozenset(case for case in cases if any(f"{case.partition('::')[0]}/".startswith(f"{at}/") for at in below))


def collection_arguments(settings: Settings, files: Sequence[str]) -> tuple[str, ...]:
    """The paths that pytest is started with, so that it sees what was discovered; none for its own `testpaths`."""
    if settings.test_files or settings.test_pattern:
        return tuple(files)
    return (*((settings.test_dir,) if settings.test_dir else ()), *settings.paths)


def vocabulary_of(settings: Settings) -> Mapping[str, str]:
    """The rows that the settings add to the vocabulary. Raises ConfigurationError."""
    if not settings.vocabulary:
        return {}
    from dt_action.analysis.vocabulary import project_rows

    return project_rows(settings.vocabulary)


def rules_of(settings: Settings) -> tuple[PathRule, ...]:
    """What the settings say of tests' needs by path. Raises ConfigurationError."""
    if not settings.needs:
        return ()
    from dt_action.analysis.explicit import path_rules

    return path_rules(settings.needs)


def limits(settings: Settings, kind: Callable[..., L]) -> L:
    """The run's limits as the scheduler has them (`Limits`) or as they are sent (`RunLimits`)."""
    return kind(
        case_timeout_s=settings.case_timeout_s,
        collect_timeout_s=settings.collect_timeout_s,
        no_output_timeout_s=settings.no_output_timeout_s,
        run_timeout_s=settings.timeout_s,
        retries=settings.retries,
        fail_fast=settings.fail_fast or 0,
        confirm_budget_s=settings.confirm_budget_s,
        gpu_sharing=settings.gpu_sharing,
    )


def publishing(settings: Settings) -> Publishing:
    """What the settings say of publishing."""
    from dt_action.providers.settings import CommentMode
    from dt_action.providers.settings import Settings as Publishing

    return Publishing(
        token=(settings.token or "").strip(),  # one that was read from a file ends in a newline
        comment=cast("CommentMode", "off" if settings.part else settings.comment),
        is_part=settings.part,
        check_name=settings.check_name or "",
        check_run_id=settings.check_run_id,
        badges=settings.badges,
        badge_branch=settings.badge_branch or "",
        badge_dir=settings.badge_dir,
        leg=settings.leg or "",
        output_dir=settings.output_dir,
        environment=settings.label or "",
        report_url=settings.report_url or "",
    )


def pytest_start(settings: Settings, paths: tuple[str, ...]) -> PytestStart:
    """How pytest is started in each slot, given `paths` to collect."""
    from dt_action.model.pytest_start import PytestStart

    return PytestStart(
        args=(*settings.pytest_args, *paths),
        isolation=settings.isolation,
        start_method=settings.start,
        retries=settings.retries,
        import_path=settings.import_path,
        dist=settings.dist or "",
        measures=settings.coverage,
        has_contexts=settings.coverage and settings.coverage_contexts,
        artifact_bytes=settings.artifacts_limit,
        threads=settings.threads_per_worker,
    )


def submission(settings: Settings, build: Build, plan: Plan, start: PytestStart) -> Submission:
    """A run for a coordinator; whoever sends it fills in the nonce and the bundle."""
    from dt_action.remote.wire import RunLimits, Submission

    return Submission(
        nonce="",
        bundle="",
        plan=plan,
        start=replace(start, artifact_bytes=0),  # they do not come through a coordinator
        limits=limits(settings, RunLimits),
        repository=build.repository,
        commit=build.commit,
        branch=build.branch,
        build_url=build.url,
        priority=settings.priority,
        client_timeout_s=None if settings.detach else settings.client_timeout_s,
    )

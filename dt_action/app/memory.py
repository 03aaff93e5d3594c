"""Earlier runs in a run's wiring: what they say of the plan, and what the finished run says against them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.app.base import Base, build_of_checkout, find_base, more_history, untested_commit
from dt_action.app.readings import in_sight
from dt_action.errors import ConfigurationError
from dt_action.model.build import Build
from dt_action.model.case import TestFile, id_in
from dt_action.model.change import Baseline, FlakyRate, Owned
from dt_action.model.event import Notice
from dt_action.model.paths import Paths
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.run import Run
from dt_action.options import Settings
from dt_action.workspace import caches
from dt_action.workspace.git import Git

if TYPE_CHECKING:
    from dt_action.history import KnownPast, Store
    from dt_action.judging.quarantine import Quarantine
    from dt_action.planning.changes import FileChange
    from dt_action.planning.choice import Choice
    from dt_action.planning.import_graph import Graph
    from dt_action.planning.knowledge import Knowledge

MOST_COMMITS = 6
"""Recordings of so many commits are held against what changed since."""

BRANCH = "branch:"
COORDINATOR = "coordinator"
"""What `--history` may say beside a path."""


class Memory:
    """
    What is remembered of earlier runs, for one run. Nothing is read before it is asked for.

    `build` is what the CI service says; where it says nothing of the commit, git does. `recorded` gives what the run's
    tests entered and opened, packed.
    """

    def __init__(self, settings: Settings, build: Callable[[], Build], recorded: Callable[[], str] = str) -> None:
        self._recorded = recorded
        self._settings = settings
        self._build = build
        self._git = Git(settings.root)
        self._notices: list[Notice] = []
        self._runs_here = False
        self._untested_commit = ""

    def prepare(self) -> None:
        """Read what a person wrote, so that a mistake in it is told before the tests run and not after."""
        self._runs_here = True
        self._expect_history()
        _ = self.quarantine
        if self._settings.base:
            _ = self.base

    @cached_property
    def build(self) -> Build:
        """The build, with its commit and branch."""
        build = self._build()
        found, said = build_of_checkout(build, self._git)
        if said and not self._runs_here:  # reports that are merged may be of a commit that nobody need check out
            return build
        if said:
            self._warn(said)
            self._untested_commit = untested_commit(build, self._git)
        return found

    @cached_property
    def past(self) -> KnownPast:
        """The earlier runs."""
        return self._store.load(self.build.environment)

    @cached_property
    def quarantine(self) -> Quarantine:
        """The project's quarantine. Raises ConfigurationError where it cannot be understood."""
        from dt_action.judging.quarantine import read_quarantine

        return read_quarantine(self._settings.root, date.today())

    @cached_property
    def base(self) -> Base:
        """
        The commit to compare with.

        That is where this code left `--base` or the branch that a pull request goes to; for another build, the
        commit before, which is HEAD where files were edited since. Raises ConfigurationError for a `--base` that is not
        here.
        """
        asked = self._settings.base
        if asked:
            self._expect_commit(asked, "base")
            return Base(commit=self._git.merge_base(asked) or self._git.resolve(asked))
        return find_base(self.build, self._git)

    # --- before the run -------------------------------------------------------------------------------------------

    def chosen(self, files: Sequence[TestFile], discovered: Sequence[TestFile]) -> Choice | None:
        """
        The files that `--only-failed` or `--changed-since` leave, and why; None where neither is asked for.

        `discovered` are all test files, of which other options may have left out some.
        """
        from dt_action.planning.choice import only_failed

        settings = self._settings
        choice = None
        if settings.changed_since:
            choice = self._changed_since(files, settings.changed_since, discovered)
        if settings.only_failed:
            failed = only_failed(choice.files if choice else files, self.past.failed_last())
            choice = replace(failed, told=failed.told.after(choice.told)) if choice else failed
        return choice

    def applied(self, plan: Plan, choice: Choice) -> Plan:
        """The plan of the chosen files, with the cases of each that were chosen."""

        def narrowed(file: PlannedFile) -> PlannedFile:
            cases = choice.cases.get(file.path, ())
            if not cases:
                return file
            expected_s = sum(file.cases_s.get(case, 0.0) for case in cases) or file.expected_s
            return replace(file, chosen=cases, expected_s=expected_s)

        is_selection = plan.is_selection or not choice.is_whole
        return replace(plan, files=tuple(map(narrowed, plan.files)), is_selection=is_selection, selection=choice.told)

    def first(self) -> frozenset[str]:
        """The files to start before all others."""
        if self._settings.order != "failed-first":
            return frozenset()
        return frozenset(case.partition("::")[0] for case in self.past.failed_last())

    def _changed_since(self, files: Sequence[TestFile], ref: str, discovered: Sequence[TestFile]) -> Choice:
        from dt_action.planning import selection
        from dt_action.planning.import_graph import read_graph

        self._expect_commit(ref, "changed_since")
        base = self._git.merge_base(ref) or ref
        changes = self._changes(base)
        if changes is None:
            said = self._git.trouble() or "is this a git repository?"
            raise ConfigurationError(f"git cannot tell what changed since {ref}", hint=said)
        settings = self._settings
        tests = {file.path for file in discovered}
        graph = read_graph(
            settings.root,
            gone=[change.path for change in changes],
            tests=tests,
            top=self._git.top(),
            arguments=settings.pytest_args,
            cache=settings.root / caches.FOLDER / "selection" / "facts.json",
        )
        return selection.changed_since(
            files,
            changes,
            graph,
            asked=f"--changed-since {ref}",
            elsewhere=tests.difference(file.path for file in files),
            ran=self.past.ran(),
            knowledge=self._knowledge(base, discovered, graph),
        )

    def _knowledge(self, base: str, files: Sequence[TestFile], graph: Graph) -> Knowledge:
        """What earlier runs saw of tests, as far as what changed from them to the base does not concern it."""
        from dt_action.planning.knowledge import Knowledge
        from dt_action.planning.selection import Reasons

        base, arguments = self._git.resolve(base), shlex.join(self._settings.pytest_args)
        knowledge = Knowledge()
        is_usable: dict[str, list[FileChange] | None] = {}
        for recording in self.past.recordings():
            commit = recording.commit
            if commit not in is_usable and len(is_usable) < MOST_COMMITS:
                known = self._git.is_ancestor(commit, "HEAD")
                is_usable[commit] = ([] if commit == base else self._changes(commit, base)) if known else None
            changes = is_usable.get(commit)
            if changes is None:
                continue
            alone = Knowledge()
            alone.add(recording, arguments=arguments)
            moved = Reasons(files, graph, (), {}, alone)
            for change in changes:
                moved.add(change)
            knowledge.add(recording, stale=moved.stale(), arguments=arguments)
        return knowledge

    def _changes(self, base: str, later: str = "") -> list[FileChange] | None:
        """What changed since `base` until `later` or now, without what dt and pytest leave behind."""
        from dt_action.planning.changes import FileChange, is_source

        found = self._git.changes_between(base, later) if later else self._git.changes(base)
        if found is None:
            return None
        root, own = self._settings.root, [self._settings.output_dir, self._settings.history]
        sources = [item for item in found if is_source(item.path, [path.strip("./") for path in own])]
        python = [item for item in sources if item.path.endswith(".py")]
        contents = self._git.contents([blob for item in python for blob in (item.blob, item.later) if blob])
        return [
            FileChange(
                path=item.path,
                is_there=item.is_there and bool(item.blob),
                before=contents.get(item.blob),
                after=contents.get(item.later) if later else _content(root / item.path),
            )
            for item in sources
        ]

    def _expect_commit(self, ref: str, option: str) -> None:
        if self._git.resolve(ref):
            return
        told = f"{self._settings.told_by(option)} is {ref!r}"
        trouble = self._git.trouble()
        if trouble:
            raise ConfigurationError(f"{told}, but git cannot be asked here", hint=trouble)
        shallow = f"this clone holds only the newest commits: {more_history(self._build())}; " * self._git.is_shallow()
        raise ConfigurationError(
            f"{told}; expected a commit, branch or tag that is in this clone",
            hint=f"git says: {self._git.words_about(ref)}; {shallow}name a branch as origin/NAME",
        )

    # --- after the run --------------------------------------------------------------------------------------------

    def judge(self, run: Run) -> Run:
        """The run with what it changed, what is forgiven, whom it concerns, and whether it keeps its gates."""
        from dt_action.judging import gates
        from dt_action.judging.baseline import compare

        run = replace(run, build=self.build)
        run = replace(run, untested_commit=run.untested_commit or self._untested_commit)
        past = self.past
        self._store.record(run, self._recorded())
        run = replace(run, change=compare(run, self._baseline(past, run)))
        failing = [result.case.id for result in run.results if result.final.is_failing]
        run = gates.tolerate(run, tuple(self.quarantine.tolerated(failing)), fail_on=self._settings.fail_on)
        is_part = self._settings.shard is not None or self._settings.join is not None
        if run.coverage is not None or not is_part:
            settings = self._settings
            run = gates.demand_coverage(
                run, total=settings.fail_under, patch=settings.patch_fail_under, why=self._why_no_base()
            )
        return replace(
            run,
            flaky_rates=tuple(_flaky_rates(past, run)),
            owners=tuple(self._owners(run)),
            notices=(*run.notices, *self._notices, *self._remarks(run, failing)),
        )

    def change(self) -> tuple[str, Mapping[str, frozenset[int]] | None]:
        """The base, and the lines that are new or edited since; None where there is none, or git does not have it."""
        base = self.base
        changed = self._git.changed_lines(base.commit) if base.commit else None
        if changed is None and base.commit and self._settings.patch_fail_under is None:  # else the gate tells it
            self._warn(f"the coverage of the change is not known: {base.problem}")
        return base.commit, changed

    def _why_no_base(self) -> str:
        """Asked only where a gate needs it: it may start git several times."""
        return self.base.problem if self._settings.patch_fail_under is not None else ""

    def _baseline(self, past: KnownPast, run: Run) -> Baseline | None:
        """Of a run of several environments, each result's own; one that has none there has nothing that it knows."""
        from dt_action.judging.baseline import joined

        environments = sorted({result.environment for result in run.results}) or [""]
        found = {name: self._baseline_of(past.of(name) if name else past, run) for name in environments}
        parts = {name: part for name, part in found.items() if part is not None}
        return joined(parts) if parts else None

    def _baseline_of(self, past: KnownPast, run: Run) -> Baseline | None:
        from dt_action.judging.baseline import with_moved_files

        base = self.base.commit
        found = past.baseline(self._git.ancestors(base)) if base else None
        found = found or past.baseline_of_default_branch(self.build.commit)
        if found is not None and found.commit:
            found = with_moved_files(found, self._moved(run, found))
        found = found or (past.baseline(()) if self.build.provider == "generic" else None)
        return found and replace(found, expected=in_sight(self._settings, found.expected))

    def _moved(self, run: Run, baseline: Baseline) -> Mapping[str, str]:
        """The test files that were moved since the baseline, as pytest named them then and does now."""
        now = {result.case.file for result in run.results}
        then = {case.partition("::")[0] for case in baseline.before}
        paths = run.paths or Paths(below=self._git.prefix().rstrip("/"))
        gone, new = then - now, {paths.in_repository(file): file for file in now - then}
        if not gone or not new:
            return {}
        renamed = self._git.renamed(baseline.commit)
        moved = {file: new.get(renamed.get(paths.in_repository(file), ""), "") for file in gone}
        return {file: name for file, name in moved.items() if name}

    def _owners(self, run: Run) -> Iterable[Owned]:
        from dt_action.judging.owners import read_owners

        concerned = {result.case.file for result in run.results if result.final.is_failing or result.is_flaky}
        if not concerned:
            return ()
        paths = run.paths or Paths(below=self._git.prefix().rstrip("/"))
        return read_owners(self._git.top()).of_all({file: paths.in_repository(file) for file in concerned})

    def _remarks(self, run: Run, failing: Sequence[str]) -> list[Notice]:
        texts = [*self.quarantine.expired(failing)]
        texts += self.quarantine.idle(result.case.id for result in run.results if result.outcome == "passed")
        if self._settings.fail_on == "regressions" and failing and not (run.change and run.change.commit):
            why = f" ({self.base.problem})" if self.base.problem else ""
            texts.append(
                f"no earlier run of the base is known{why}, so that --fail-on regressions counts every failure"
            )
        return [Notice(level="warning", text=text) for text in texts]

    @cached_property
    def _store(self) -> Store:
        from dt_action.history import history_at

        name = self._settings.history
        if name == COORDINATOR:
            return self._at_the_coordinator()
        if name.startswith(BRANCH):
            from dt_action.history.branch import BranchHistory

            return BranchHistory(self._settings.root, name.removeprefix(BRANCH), self._warn)
        return history_at(self._settings.root / name, warn=self._warn)

    def _at_the_coordinator(self) -> Store:
        from dt_action.app.remote_history import history_of

        settings = self._settings
        url, key, repository = settings.coordinator or "", settings.api_key or "", self.build.repository
        return history_of(url, key, repository, warn=self._warn, connect_timeout_s=settings.connect_timeout_s)

    def _expect_history(self) -> None:
        name = self._settings.history
        told = f"{self._settings.told_by('history')} is {name!r}"
        if name == COORDINATOR and not self._settings.coordinator:
            raise ConfigurationError(f"{told}, but no address of one is given", hint="add --coordinator URL")
        if name.startswith(BRANCH) and not self._git.is_branch_name(name.removeprefix(BRANCH)):
            raise ConfigurationError(f"{told}; expected the name of a branch", hint=f"such as {BRANCH}dt-history")

    def _warn(self, text: str) -> None:
        self._notices.append(Notice(level="warning", text=text))


def _flaky_rates(past: KnownPast, run: Run) -> Iterator[FlakyRate]:
    """Of the results that are in doubt."""
    doubtful: dict[str, set[str]] = {}
    for result in run.results:
        if result.final.is_failing or result.is_flaky:
            doubtful.setdefault(result.environment, set()).add(result.case.id)
    for environment, cases in sorted(doubtful.items()):
        known = past.of(environment) if environment else past
        for rate in known.flaky_rates(cases):
            yield replace(rate, id=id_in(environment, rate.id))


def _content(path: Path) -> bytes | None:
    """What a Python file holds now; None where it is gone."""
    try:
        return path.read_bytes() if path.suffix == ".py" else None
    except OSError:
        return None

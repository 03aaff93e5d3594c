"""The one place that picks implementations: from settings to the steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dt_action.app import readings
from dt_action.app.interruption import Interruption
from dt_action.app.starts import Starts
from dt_action.model.slot_protocol import slot_name
from dt_action.options import Settings, secret_values, secret_variables
from dt_action.pipeline import Steps
from dt_action.workspace import caches

if TYPE_CHECKING:  # what `dt run` need not load before pytest has been started
    from dt_action.app.attempts import Attempts
    from dt_action.app.coverage import Measurement
    from dt_action.app.memory import Memory
    from dt_action.app.recorder import Recorder
    from dt_action.app.shards import Shards
    from dt_action.engine import Limits
    from dt_action.fleets.coordinator import CoordinatorFleet
    from dt_action.hosts.coverage_data import CoverageData
    from dt_action.hosts.process import Host
    from dt_action.model.case import TestFile
    from dt_action.model.event import Event
    from dt_action.model.hardware import FileNeeds
    from dt_action.model.paths import Paths
    from dt_action.model.plan import Plan
    from dt_action.model.report import Publication
    from dt_action.model.run import Run
    from dt_action.ports import Fleet, Provider
    from dt_action.remote.wire import Submitted
    from dt_action.reports.redaction import Redactor

Listener = Callable[["Event"], None]


@dataclass(slots=True, kw_only=True)
class Wiring:
    """
    The collaborators that settings ask for, and the steps of a run made of them.

    `listener` hears every event; `say` puts a line on stdout, `command` one that the CI service obeys. `names_files`
    tells that the files are chosen by other code than discovery, so that pytest is given exactly those.
    """

    settings: Settings
    environ: Mapping[str, str]
    listener: Callable[[int], Listener]
    say: Callable[[str], None]
    command: Callable[[str], None] | None = None
    names_files: bool = False
    shows_pytest: bool = False
    interruption: Interruption = field(default_factory=Interruption)
    _host: Host | None = None
    _memory: Memory | None = None
    _shards: Shards | None = None
    _attempts: Attempts | None = None
    _measurement: Measurement | None = None
    _recorder: Recorder | None = None
    _starts: Starts | None = None
    _pytest_cache: str = ""

    def __enter__(self) -> Wiring:
        return self

    def __exit__(self, *_: object) -> None:
        if self._host is not None:
            self._host.close()
        for gathering in (self._measurement, self._recorder):
            if gathering is not None:
                gathering.close()

    def steps(self) -> Steps:
        """The steps of a run."""
        return Steps.from_methods_of(self)

    def prepare(self) -> None:
        """Start pytest while the rest is still thinking; where its arguments are known before discovery."""
        in_containers = self.settings.isolation == "container"
        if self.settings.coverage and (in_containers or self.settings.fleet != "local"):
            from dt_action.app.coverage import expect_possible
            from dt_action.app.tests_environment import tests_python

            expect_possible(tests_python(self.settings, self.environ))
        if in_containers:
            from dt_action.app.fleets import check_containers

            check_containers(self.settings)
        elif self.settings.fleet == "local" and not (self.settings.test_pattern or self.names_files):
            self._host = self.host(self.settings.test_files)
            self._host.start(slot_name(0))
        self.memory.prepare()

    def discover(self) -> Sequence[TestFile]:
        """The test files that the settings ask for."""
        from dt_action.discovery import discover

        files = discover(self.settings, self.environ)
        if self._host is not None:  # the other processes, too, while the files are read
            for number in range(1, min(self._host.session.start.slots, len(files))):
                self._host.start(slot_name(number))
        return files

    def analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        """What the tests need."""
        from dt_action.analysis import StaticAnalyzer

        root = self.settings.root
        cache_dir = root / caches.FOLDER / "analysis"
        rows = readings.vocabulary_of(self.settings)
        analyzer = StaticAnalyzer(
            root=root, cache_dir=cache_dir, path_rules=readings.rules_of(self.settings), vocabulary=rows
        )
        return analyzer.analyze(files)

    def plan(self, files: Sequence[TestFile], needs: Mapping[str, FileNeeds]) -> Plan:
        """The order of the files that the settings' hardware leaves, by what earlier runs tell."""
        from dt_action.app.places import size_of
        from dt_action.planning.plan import for_hardware, make_plan

        wanted = for_hardware(files, needs, self.settings.hardware)
        shards = self.shards
        choice = shards.chosen(wanted, lambda: self.memory.chosen(wanted, files))
        plan = make_plan(
            choice.files if choice else wanted,
            needs,
            self.memory.past,
            file_bytes={file.path: size_of(self.settings.root / file.path) for file in wanted},
            is_selection=self.names_files or readings.is_selection(self.settings),
            first=self.memory.first(),
        )
        plan = shards.cut(self.memory.applied(plan, choice) if choice else plan)
        is_whole = self.settings.rerun_failed and not self.settings.join
        return self.attempts.narrowed(plan) if is_whole else plan

    def execute(self, plan: Plan) -> Iterator[Event]:
        """Run the plan on the fleet that the settings name; where a selection left nothing, that is all."""
        from dt_action.model.event import Ended

        if self.settings.join:
            return iter(())  # parts of it are executed as they are claimed
        if plan.selection and not plan.files:
            return iter([Ended(status="completed")])
        if plan.shard:
            count = len(plan.files)
            told = f"{count} of {count + len(plan.elsewhere)} files, plan {plan.digest}"
            self.say(f"shard {plan.shard} by {self.settings.told_by('shard')}: {told}")
        return self.fleet(plan).execute(plan)

    def collect(self, plan: Plan, events: Iterator[Event]) -> Run:
        """Gather the events into a run."""
        from dt_action.reports import reporting  # noqa: F401 - while pytest starts, rather than at the end, when a user waits

        return self._joined(plan) if self.settings.join else self._gathered(plan, events)

    def judge(self, run: Run) -> Run:
        """What the run is worth, with its coverage; it is remembered."""
        if self._pytest_cache and self.settings.fleet == "local":
            from dt_action.workspace.pytest_cache import remember

            remember(Path(self._pytest_cache), run)
        data: Sequence[Path] = ()
        if self.settings.rerun_failed:
            run, data = self.attempts.continued(run), self.attempts.data_files()
        if self._measurement is not None and run.results:
            run = self.covered(run, [*data, *self._measurement.data_files()], self._measurement.workspaces())
        return self.memory.judge(replace(run, paths=self._paths()))

    def redact(self, run: Run) -> Run:
        """The run without secrets."""
        return self._redactor().run(run)

    def _redactor(self) -> Redactor:
        from dt_action.reports.redaction import Redactor

        return Redactor(secret_values(self.settings, self.environ))

    def _gathered(self, plan: Plan, events: Iterator[Event]) -> Run:
        """The events as a run, with what its tests left behind."""
        from dt_action.app.artifacts import Artifacts
        from dt_action.engine.results import collect

        left = Artifacts.from_settings(self.settings, self.environ)
        listener = self._noting_cache(self.listener(len(plan.files)))
        return left.linked(collect(plan, left.taken_from(events), listener=listener))

    def _joined(self, plan: Plan) -> Run:
        """What this job claims of the plan, part after part, as one run."""
        from dt_action.app.joining import Joining

        def execute(part: Plan) -> Run:
            run = self._gathered(part, self.fleet(part).execute(part))
            self._host = None  # each part has processes of its own
            return run

        narrow = self.attempts.narrowed if self.settings.rerun_failed else None
        joining = Joining(self.settings, self.memory.build, say=self.say, narrow=narrow)
        return joining.run(plan, self.shards.weights(plan.files), execute)

    def _paths(self) -> Paths:
        """How pytest's names lead to the files, as it was started here."""
        from dt_action.app.places import paths_here

        return paths_here(
            self.settings, self.environ, readings.collection_arguments(self.settings, self.settings.test_files)
        )

    def _noting_cache(self, listener: Listener) -> Listener:
        """Where pytest keeps its cache is told by the first of its processes."""
        from dt_action.model.event import WorkerJoined

        def listen(event: Event) -> None:
            if isinstance(event, WorkerJoined):
                self._pytest_cache = self._pytest_cache or event.cache
            listener(event)

        return listen

    def covered(self, run: Run, data_files: Sequence[Path], workspaces: Sequence[str] = ()) -> Run:
        """The run with the coverage that data files hold, and its documents written; see `cli.coverage.covered`."""
        from dt_action.app.coverage import covered
        from dt_action.app.tests_environment import tests_python

        return covered(
            run,
            data_files,
            settings=self.settings,
            python=self.starts.python or tests_python(self.settings, self.environ),
            change=self.memory.change,
            say=self.say,
            workspaces=workspaces,
        )

    def measurement(self) -> Measurement:
        """Where what the slots measure is gathered."""
        if self._measurement is None:
            from dt_action.app.coverage import Measurement

            self._measurement = Measurement()
        return self._measurement

    def _coverage_elsewhere(self) -> CoverageData | None:
        return self.measurement().elsewhere() if self.settings.coverage else None

    @property
    def starts(self) -> Starts:
        """How pytest is started."""
        if self._starts is None:
            self._starts = Starts(
                settings=self.settings,
                environ=self.environ,
                say=self.say,
                names_files=self.names_files,
                shows_pytest=self.shows_pytest,
            )
        return self._starts

    @property
    def shards(self) -> Shards:
        """What plans are cut by."""
        if self._shards is None:
            from dt_action.app.shards import Shards

            self._shards = Shards(self.settings, self.environ)
        return self._shards

    @property
    def attempts(self) -> Attempts:
        """Earlier attempts at this run."""
        if self._attempts is None:
            from dt_action.app.attempts import Attempts

            self._attempts = Attempts(self.settings, self.environ, lambda: self.memory.build, self.say)
        return self._attempts

    @property
    def recorder(self) -> Recorder:
        """Where what the tests enter and open is gathered."""
        if self._recorder is None:
            from dt_action.app.recorder import Recorder

            self._recorder = Recorder(self.settings)
        return self._recorder

    @property
    def memory(self) -> Memory:
        """Earlier runs, and what this one says against them."""
        if self._memory is None:
            from dt_action.app.memory import Memory

            self._memory = Memory(self.settings, lambda: self.provider().build(), self.recorder.recorded)
        return self._memory

    def report(self, run: Run) -> Publication:
        """Write the reports. One that cannot be written is a problem to tell, not the end of the run."""
        from dt_action.app.leftovers import remove_reports_of_other_builds
        from dt_action.reports import reporting

        settings = self.settings
        publication = reporting.publication(
            run if run.paths else replace(run, paths=self._paths()),
            formats=settings.report_formats,
            timestamp=datetime.now().strftime("%Y%m%d_%H%M%S"),  # local time: the name is for people
            template_dir=settings.root / settings.template_dir if settings.template_dir else None,
        )
        remove_reports_of_other_builds(settings.root / settings.output_dir, run.build)
        try:
            written = reporting.write(publication.documents, settings.root / settings.output_dir)
        except reporting.ReportsNotWrittenError as error:
            publication = replace(publication, problems=(*publication.problems, str(error)))
            written = list(error.written)
        for path in written:
            self.say(f"report: {_shown(path, settings.root)}")
        return publication

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """Show the run in the CI service, and tell whoever else wants to know; refusals hold no secrets."""
        from dt_action.app.listeners import tell_others

        refused = (*self.provider().publish(run, publication), *tell_others(run, self.settings, self.environ))
        return self._redactor().value(refused)

    def fleet(self, plan: Plan) -> Fleet:
        """The fleet that the settings name."""
        settings = self.settings
        if settings.fleet == "coordinator":
            return self._coordinator_fleet(plan)
        if settings.fleet == "ray":
            from dt_action.app.fleets import ray_fleet

            return ray_fleet(
                settings,
                self.starts.elsewhere(_paths(plan)),
                self._limits(),
                secret_variables(),
                say=self.say,
                interruption=self.interruption,
                coverage=self._coverage_elsewhere(),
            )
        return self._local_fleet(plan)

    def _local_fleet(self, plan: Plan) -> Fleet:
        from dt_action.fleets.local import LocalFleet
        from dt_action.probes import this_machine

        settings = self.settings
        if settings.isolation == "container":
            from dt_action.app.fleets import container_fleet

            return container_fleet(
                settings,
                self.starts.here(_paths(plan)),
                self._limits(),
                self.environ,
                say=self.say,
                interruption=self.interruption,
                coverage=self._coverage_elsewhere(),
            )
        return LocalFleet(
            host=self._host or self.host(_paths(plan)),
            capability=this_machine(self.environ),
            limits=self._limits(),
            interruption=self.interruption,
        )

    def _limits(self) -> Limits:
        from dt_action.engine import Limits

        return readings.limits(self.settings, Limits)

    def attached(self) -> tuple[Plan, Iterator[Event]]:
        """The run that `--attach` names: its plan, and its events from the first on. Raises FleetError."""
        from dt_action.fleets.coordinator import Attached

        settings = self.settings
        run = Attached(
            url=settings.coordinator or "",
            credential=lambda: settings.api_key or "",
            run=settings.attach or "",
            poll_interval_s=settings.poll_interval_s,
            connect_timeout_s=settings.connect_timeout_s,
            coverage=self.measurement().remote() if settings.coverage else None,
            interruption=self.interruption,
        )
        followed = run.followed()
        return followed.plan, run.events(followed)

    def detached(self, plan: Plan) -> Submitted:
        """Begin the run on the coordinator, and leave it to itself. Raises FleetError."""
        return self._coordinator_fleet(plan).submit(plan)

    def _coordinator_fleet(self, plan: Plan) -> CoordinatorFleet:
        from dt_action.fleets.coordinator import CoordinatorFleet

        settings = self.settings
        return CoordinatorFleet(
            url=settings.coordinator or "",
            credential=lambda: settings.api_key or "",
            root=settings.root,
            submission=readings.submission(
                settings, self.provider().build(), plan, self.starts.elsewhere(_paths(plan))
            ),
            coverage=self.measurement().remote() if settings.coverage else None,
            poll_interval_s=settings.poll_interval_s,
            connect_timeout_s=settings.connect_timeout_s,
            interruption=self.interruption,
            fallback=(lambda: self._local_fleet(plan)) if settings.fallback == "local" else None,
        )

    def host(self, files: Sequence[str]) -> Host:
        """The processes on this machine. `files` are those that pytest is to be given, where they were named."""
        data_file = self.measurement().data_file if self.settings.coverage else None
        return self.starts.host(files, data_file=data_file, recording=self.recorder.recording())

    def provider(self) -> Provider:
        """The CI service that the settings name, or that the environment belongs to."""
        from dt_action import providers

        name = self.settings.provider or providers.detect(self.environ)
        return providers.make(name, self.environ, readings.publishing(self.settings), write=self.command or self.say)


def _paths(plan: Plan) -> list[str]:
    return [file.path for file in plan.files]


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)

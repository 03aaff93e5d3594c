"""Every option once: its flag, its action input, its environment variables, its kind, its default and its help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from dt_action.model.hardware import DEVICE_KINDS, format_bytes
from dt_action.model.plan import Shard
from dt_action.model.report import FORMATS
from dt_action.options.kinds import (
    ARGUMENTS,
    BYTE_COUNT,
    BYTES_OR_NONE,
    DURATION,
    GLOBS_BY_NAME,
    NUMBER,
    PERCENT,
    PHRASE_BY_NAME,
    SHARD,
    SPAN,
    SWITCH,
    TEXT_BY_GLOB,
    URL,
    WORKERS,
    Kind,
    at_least,
    choice,
    many,
    text,
)

T = TypeVar("T")
D = TypeVar("D")

Group = Literal["tests", "execution", "limits", "environment", "memory", "reports", "service", "matrix"]

GROUPS: dict[Group, str] = {
    "tests": "which tests run",
    "execution": "where and how they run",
    "limits": "how long and how often",
    "environment": "the tests' environment",
    "memory": "coverage, earlier runs and gates",
    "reports": "reports",
    "service": "the CI service",
    "matrix": "many jobs: dt plan --matrix and dt report",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a value came from; a lower `rank` outranks a higher one."""

    rank: Literal[0, 1, 2, 3]
    text: str


DEFAULT = Source(rank=3, text="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """
    One row of the table. `name` is the field of `Settings`.

    `variables` are environment variables beside `DT_*` and `INPUT_*`. `unset` says what None means. `has_flag` is
    False for what only a configuration file can hold. `takes_dashes` marks a value that may start with a dash.
    """

    kind: Kind[Any]
    default: object
    help: str
    group: Group
    name: str = ""
    input: str = ""
    variables: tuple[str, ...] = ()
    unset: str = ""
    secret: bool = False
    has_flag: bool = True
    takes_dashes: bool = False

    @property
    def key(self) -> str:
        """The key in a configuration file. A unit stands in the field's name only: `timeout_s` is `timeout`."""
        return self.name.removesuffix("_s").replace("_", "-")

    @property
    def flag(self) -> str:
        """The flag of the command line."""
        return f"--{self.key}"

    @property
    def environment(self) -> tuple[str, ...]:
        """
        The environment variables, strongest first.

        GitHub's runner makes `INPUT_` and the upper-case name of an input, and keeps hyphens
        (actions/runner, src/Runner.Worker/Handlers/ContainerActionHandler.cs); both spellings of a name are read.
        """
        names = dict.fromkeys([self.input, self.input.replace("_", "-"), self.key.replace("-", "_"), self.key])
        return (*(f"INPUT_{name.upper()}" for name in names), *self.variables_shown)

    @property
    def variables_shown(self) -> tuple[str, ...]:
        """The environment variables that a person sets."""
        return (f"DT_{self.key.replace('-', '_').upper()}", *self.variables)

    def show(self, value: object) -> str:
        """A value for people; a secret is masked."""
        if value is None or value in ((), {}):
            return f"({self.unset})" if self.unset else "(not set)"
        if self.secret:
            return "***"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, Mapping):
            return "; ".join(f"{name}: {' '.join(globs)}" for name, globs in value.items())
        if self.kind in (DURATION, SPAN) and isinstance(value, float):
            return _duration_text(value)
        if self.kind in (BYTE_COUNT, BYTES_OR_NONE) and isinstance(value, int):
            return format_bytes(value)
        return " ".join(str(item) for item in value) if isinstance(value, tuple) else str(value)


def _duration_text(seconds: float) -> str:
    """`3600` -> `1h`: the shortest way to write it."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def option(  # noqa: PLR0913 - a row has many columns
    kind: Kind[T],
    default: D,
    help: str,
    *,
    group: Group,
    input: str = "",
    variables: tuple[str, ...] = (),
    unset: str = "",
    secret: bool = False,
    has_flag: bool = True,
    takes_dashes: bool = False,
) -> T | D:
    """Declare a row: a field of `Settings`, whose annotation must fit the types of the kind and of the default."""
    row = Option(
        kind=kind,
        default=default,
        help=help,
        group=group,
        input=input,
        variables=variables,
        unset=unset,
        secret=secret,
        has_flag=has_flag,
        takes_dashes=takes_dashes,
    )
    return cast("T | D", field(default=default, repr=not secret, metadata={"row": row}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    The options of a run, resolved. Paths are relative to `root`, the directory in which dt was started.

    To add an option, add a row; the flag, the action input, the environment variables, the key, the help and
    docs/options.md follow from it.
    """

    root: Path = Path()
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    working_directory: str | None = option(
        text("a directory", "packages/core"),
        None,
        "directory to start in, such as a package of a monorepo; all other paths are relative to it",
        group="tests",
        unset="where dt is started",
    )
    test_dir: str | None = option(
        text("a directory", "tests"),
        None,
        "directory of the tests",
        group="tests",
        unset="pytest's testpaths, else here",
    )
    paths: tuple[str, ...] = option(
        many(text("a file, directory or test", "tests/test_api.py::test_get")),
        (),
        "files, directories and tests to run, as pytest takes them; on the command line they need no flag",
        group="tests",
        has_flag=False,
        unset="all tests",
    )
    test_pattern: str | None = option(
        text("a glob", "**/test_*.py"),
        None,
        "glob for test files, relative to the test directory; without a slash it matches in every directory below",
        group="tests",
        unset="pytest's python_files",
    )
    test_files: tuple[str, ...] = option(
        many(text("a file", "tests/test_api.py")), (), "test files, instead of searching for them", group="tests"
    )
    test_type: tuple[str, ...] = option(
        many(text("a test type", "integration")),
        (),
        "run only files with tests of these types: integration, fault, monitoring, stress, your own, other for those "
        "of none, or all",
        group="tests",
        unset="all",
    )
    test_types: Mapping[str, tuple[str, ...]] | None = option(
        GLOBS_BY_NAME, None, "test types by globs of their files", group="tests", has_flag=False, unset="built-in types"
    )
    hardware: tuple[str, ...] = option(
        many(choice("all", *sorted(DEVICE_KINDS))),
        (),
        "run only files with tests that need this hardware; cpu: that need no accelerator",
        group="tests",
        unset="all",
    )
    needs: Mapping[str, str] | None = option(
        TEXT_BY_GLOB,
        None,
        "what tests need by globs of their files, in the words of a pragma",
        group="tests",
        has_flag=False,
        unset="what the code says",
    )
    vocabulary: Mapping[str, str] | None = option(
        PHRASE_BY_NAME,
        None,
        "what names in test code say of hardware, beside those that are known",
        group="tests",
        has_flag=False,
        unset="the built-in table",
    )
    shard: Shard | None = option(  # noqa: RUF009 - a field
        SHARD,
        None,
        "run share I of N; each test is in one of them",
        group="tests",
        unset="what the CI service says of parallel jobs, else all",
    )
    shard_by: str = option(
        choice("tests", "files"),
        "tests",
        "what shares are made of: tests, so that several may divide a large file, or whole files",
        group="tests",
    )

    fleet: str = option(choice("local", "coordinator", "ray"), "local", "where the tests run", group="execution")
    coordinator: str | None = option(
        URL,
        None,
        "address of a coordinator; makes it the fleet",
        group="execution",
        input="coordinator_url",
        variables=("COORDINATOR_URL",),
    )
    api_key: str | None = option(
        text("a key", "..."),
        None,
        "key for the coordinator; prefer the environment variable, which other users of the machine cannot see",
        group="execution",
        variables=("COORDINATOR_API_KEY",),
        secret=True,
    )
    priority: int = option(
        at_least(-1000),
        0,
        "whose turn it is on a coordinator: a higher one gets slots first, up to what the key allows",
        group="execution",
    )
    client_timeout_s: float = option(
        DURATION,
        600.0,
        "a coordinator ends the run when this dt is gone for so long",
        group="execution",
    )
    connect_timeout_s: float = option(
        DURATION,
        30.0,
        "how long a coordinator that does not answer is asked again before the run begins",
        group="execution",
    )
    detach: bool = option(
        SWITCH, False, "begin the run on the coordinator, print its id, and leave it to itself", group="execution"
    )
    attach: str | None = option(
        text("the id of a run", "4f1c2d9a0b7e6358"),
        None,
        "follow a run that another dt began on the coordinator, and report it as one's own",
        group="execution",
        unset="begin a new run",
    )
    fallback: str = option(
        choice("none", "local"),
        "none",
        "where the tests run when the coordinator cannot be reached",
        group="execution",
    )
    workers: int | None = option(
        WORKERS, None, "how many processes run tests at a time on this machine", group="execution", unset="auto"
    )
    gpu_sharing: str = option(
        choice("auto", "off", "all"),
        "auto",
        "tests on one GPU at a time: several whose stated memory fits, one, or all, each of which sees every device",
        group="execution",
    )
    threads_per_worker: int | None = option(
        at_least(0),
        None,
        "threads of numerical libraries in each worker process, where the environment does not say it; 0: no limit",
        group="execution",
        unset="its share of the processors",
    )
    isolation: str = option(
        choice("session", "file", "test", "container"),
        "session",
        "what tests share: a session for each worker process, a process for each file or test, or a container",
        group="execution",
    )
    start: str = option(
        choice("auto", "fork", "spawn"),
        "auto",
        "whether worker processes are forked from one that has collected, on Linux, where that is safe",
        group="execution",
    )
    image: str | None = option(
        text("an image", "python:3.13"),
        None,
        "image of --isolation container, with Python 3.9 or later and pytest",
        group="execution",
        unset="none",
    )
    container_network: str = option(
        text("a network", "bridge"),
        "none",
        "network of the containers: none, or one of the engine's",
        group="execution",
    )
    container_memory: int = option(
        BYTE_COUNT, 4 << 30, "memory that one container may use, /tmp included", group="execution"
    )
    container_cpus: float = option(NUMBER, 2.0, "processors that one container may use", group="execution")
    container_pids: int = option(at_least(16), 1024, "processes that may live in one container", group="execution")
    container_env: tuple[str, ...] = option(
        many(text("a name", "DATABASE_URL")),
        (),
        "environment variables that are passed into the containers; no other one is",
        group="execution",
        unset="none",
    )
    ray_address: str | None = option(
        text("an address", "ray://head:10001"),
        None,
        "address of a Ray cluster for --fleet ray",
        group="execution",
        variables=("RAY_ADDRESS",),
        unset="a cluster that runs on this machine",
    )
    ray_wait_s: float | None = option(
        DURATION,
        None,
        "ask Ray's autoscaler for what no node has, and wait so long for it",
        group="execution",
        unset="tell at once",
    )
    pytest_args: tuple[str, ...] = option(
        ARGUMENTS,
        (),
        "more arguments for pytest, quoted as in a shell; on the command line most need no flag, and all may follow --",
        group="execution",
        takes_dashes=True,
    )
    import_path: str = option(
        choice("cwd", "script"),
        "cwd",
        "where tests import the project from: cwd, as `python -m pytest`, or script: what is installed, as `pytest`",
        group="execution",
    )
    dist: str | None = option(
        choice("load", "loadfile", "loadscope", "loadgroup"),
        None,
        "what stays in one process, as pytest-xdist has it: nothing, a file, a class or module, a group",
        group="execution",
        unset="the project's own --dist",
    )

    timeout_s: float = option(DURATION, 3600.0, "longest wait for the whole run", group="limits")
    poll_interval_s: float = option(
        DURATION, 15.0, "how often a coordinator is asked where it cannot stream", group="limits"
    )
    case_timeout_s: float | None = option(
        DURATION, None, "longest time for one test case", group="limits", unset="no limit"
    )
    no_output_timeout_s: float | None = option(
        DURATION, None, "longest time without any output or progress of a test", group="limits", unset="no limit"
    )
    collect_timeout_s: float | None = option(
        DURATION, None, "longest time for importing and collecting one test file", group="limits", unset="no limit"
    )
    confirm_budget_s: float = option(
        SPAN,
        60.0,
        "a failure that splitting may have made is run as plain pytest runs it before it is told, in so much time; "
        "0 for never",
        group="limits",
    )
    retries: int = option(at_least(0), 0, "how often a failed test case is tried again", group="limits")
    fail_fast: int | None = option(
        at_least(1), None, "stop after this many failed test cases", group="limits", unset="run all"
    )

    python: str | None = option(
        text("a Python interpreter", ".venv/bin/python"),
        None,
        "interpreter in which the tests run",
        group="environment",
        unset="the one that runs dt, or the project's own where dt is a tool beside it",
    )
    requirements: tuple[str, ...] = option(
        many(text("a requirements file", "requirements-test.txt")),
        (),
        "requirements files to install in a virtual environment that dt keeps for the tests; auto: the project's own",
        group="environment",
    )
    setup: str | None = option(
        text("a shell command", "pip install -e ."),
        None,
        "shell command to run before the tests, in their environment",
        group="environment",
        takes_dashes=True,
    )

    history: str = option(
        text("a place", ".dt_cache/history"),
        ".dt_cache/history",
        "where runs are remembered: a directory or a file that ends in .json, which CI has to keep; "
        "branch:NAME; or coordinator",
        group="memory",
    )
    base: str | None = option(
        text("a commit or branch", "origin/main"),
        None,
        "what the change is compared with, for regressions and the coverage of the change",
        group="memory",
        unset="where a pull request goes, else the commit before",
    )
    only_failed: bool = option(SWITCH, False, "run only test cases that failed when they last ran", group="memory")
    rerun_failed: tuple[str, ...] = option(
        many(text("a directory", "earlier")),
        (),
        "directories with the JSON report of an earlier attempt at the same commit: run only what failed, died or "
        "never ran in it, and take the rest from there; without such a report everything runs",
        group="memory",
        unset="everything runs",
    )
    changed_since: str | None = option(
        text("a commit or branch", "origin/main"),
        None,
        "run only the tests that the changes since then can reach",
        group="memory",
    )
    record: str = option(
        choice("auto", "always", "never"),
        "auto",
        "remember which functions each test entered, for changed_since: where that is cheap (Python 3.12), always or "
        "never",
        group="memory",
    )
    order: str = option(
        choice("longest-first", "failed-first"), "longest-first", "which test files start first", group="memory"
    )
    fail_on: str = option(
        choice("failures", "regressions", "never"),
        "failures",
        "what makes dt exit with 1: failed tests, those that did not fail in the base, or nothing",
        group="memory",
    )
    coverage: bool = option(SWITCH, False, "measure coverage, with the project's own settings", group="memory")
    coverage_formats: tuple[str, ...] = option(
        many(choice("xml", "lcov", "json", "html")),
        ("xml", "lcov", "json", "html"),
        "coverage reports to write; xml is Cobertura",
        group="memory",
    )
    coverage_contexts: bool = option(
        SWITCH, False, "note which test ran each line, in the json and html coverage; slower", group="memory"
    )
    fail_under: float | None = option(
        PERCENT, None, "exit with 1 where less than this share of the code ran", group="memory", unset="no limit"
    )
    patch_fail_under: float | None = option(
        PERCENT,
        None,
        "exit with 1 where less than this share of the changed code ran",
        group="memory",
        unset="no limit",
    )

    output_dir: str = option(
        text("a directory", "test_reports"),
        "test_reports",
        "directory for the reports; by default test-reports where setuptools looks for packages by itself, since it "
        "would take test_reports for one",
        group="reports",
    )
    report_formats: tuple[str, ...] = option(
        many(choice(*FORMATS)),
        ("json", "md", "html"),
        "reports to write; xml is JUnit and always written",
        group="reports",
    )
    template_dir: str | None = option(
        text("a directory", "report_templates"),
        None,
        "directory of Jinja templates that replace those of the reports",
        group="reports",
        unset="built-in templates",
    )
    artifacts_limit: int = option(
        BYTES_OR_NONE,
        20 << 20,
        "how much is kept of the files that a test leaves in $DT_ARTIFACTS, and in tmp_path where it fails; 0: nothing",
        group="reports",
    )
    redact: tuple[str, ...] = option(
        many(text("the name of an environment variable", "DEPLOY_TOKEN")),
        (),
        "environment variables whose values are masked in all that dt writes",
        group="reports",
    )
    verbose: bool = option(SWITCH, False, "give every test case a line, not only the failing ones", group="reports")

    provider: str | None = option(
        choice("github", "gitlab", "jenkins", "generic"),
        None,
        "the CI service that is told of the run",
        group="service",
        unset="detected",
    )
    token: str | None = option(
        text("a token", "${{ github.token }}"),
        None,
        "token with which the CI service is told of the run: on GitHub the job's own, on GitLab a project access token",
        group="service",
        secret=True,
    )
    comment: str = option(
        choice("changes", "always", "failures", "off"),
        "changes",
        "when to comment on the pull or merge request: where the result differs from what the comment says, always, "
        "where tests fail, or never",
        group="service",
    )
    check_name: str | None = option(
        text("a name", "Tests"),
        None,
        "make a check run of this name on GitHub, instead of annotating the job's own check",
        group="service",
        unset="the job's own check",
    )
    check_run_id: int | None = option(
        at_least(1),
        None,
        "the job's own check on GitHub; the action knows it",
        group="service",
        unset="unknown",
    )
    label: str | None = option(
        text("a name", "linux-gpu"),
        None,
        "name of this leg of a matrix, to tell its results from those of the others",
        group="service",
    )
    leg: str | None = option(
        text("JSON", '{"python": "3.13"}'),
        None,
        "the values of this leg of the job's matrix, which tell its results from those of the others where it has no "
        "label; the action knows them",
        group="service",
        unset="unknown",
    )
    report_url: str | None = option(URL, None, "where the whole report can be read, for links to it", group="service")
    badges: bool = option(SWITCH, False, "commit badges to the repository on GitHub", group="service")
    badge_branch: str | None = option(
        text("a branch", "dt-badges"),
        None,
        "branch that takes the badges; made when there is none",
        group="service",
        unset="the default branch",
    )
    badge_dir: str = option(
        text("a directory", ".github/badges"),
        ".github/badges",
        "directory of the badges in the repository",
        group="service",
    )
    notify: str | None = option(
        URL, None, "webhook that is told how the run went: Slack, Teams or your own", group="service", secret=True
    )
    notify_on: str = option(
        choice("failures", "always"),
        "failures",
        "when the webhook is told: where the run is not green, or always",
        group="service",
    )
    strict_publishing: bool = option(
        SWITCH, False, "exit with 8 where the CI service refused something, instead of warning", group="service"
    )

    shards: int = option(
        at_least(1), 1, "into how many shards the matrix cuts each test type and hardware", group="matrix"
    )
    runners: tuple[str, ...] = option(
        many(text("hardware and labels", "cuda=self-hosted+gpu")),
        (),
        "labels of the runners by hardware, such as cuda=self-hosted+gpu; default=... for everything else",
        group="matrix",
        unset="default=ubuntu-latest",
    )
    python_versions: tuple[str, ...] = option(
        many(text("a version of Python", "3.12")),
        (),
        "versions of Python; the matrix has jobs for each",
        group="matrix",
        unset="one that fits the project",
    )
    part: bool = option(
        SWITCH,
        False,
        "this run is one of several that dt report merges: it shows nothing but the log, and leaves tests that no "
        "worker here could take to the report",
        group="matrix",
    )
    join: str | None = option(
        text("a name", "$CI_PIPELINE_ID"),
        None,
        "work off one plan together with the other jobs that join this name, each as fast as it can, through a ref of "
        "the git remote, to which all must be allowed to push",
        group="matrix",
        unset="a share that is known beforehand, or everything",
    )
    join_jobs: int | None = option(
        at_least(1),
        None,
        "about how many jobs join",
        group="matrix",
        unset="what the CI service says of parallel jobs, else 4",
    )
    plan_file: str | None = option(
        text("a file", "dt-plan.json"),
        None,
        "plan that dt plan writes, and by which dt run cuts shares: they take about the same time then, and all jobs "
        "run the same choice of tests",
        group="matrix",
        unset="shares are cut by the number of tests in the files",
    )
    reports: tuple[str, ...] = option(
        many(text("a directory", "parts")), (), "directories or files with the JSON reports to merge", group="matrix"
    )
    expect: str | None = option(
        text("a matrix", '{"include": [...]}'),
        None,
        "the matrix that dt plan gave: a leg that left no report makes the run incomplete",
        group="matrix",
        unset="nothing is missed",
    )

    def told_by(self, name: str) -> str:
        """Where the value of an option came from, for a message to its user."""
        return self.sources[name].text if name in self.sources else name


def _rows() -> tuple[Option, ...]:
    rows = [(item.name, item.metadata["row"]) for item in fields(Settings) if "row" in item.metadata]
    return tuple(replace(row, name=name, input=row.input or name.removesuffix("_s")) for name, row in rows)


OPTIONS: tuple[Option, ...] = _rows()

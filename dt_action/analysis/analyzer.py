"""The port `Analyzer`, by reading code: needs by file, cached by content, spread over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dt_action.analysis.explicit import PathRule, Statement, combine, pragmas_of, statement_of
from dt_action.analysis.inference import FileInference, TestNeeds, infer
from dt_action.analysis.project import Project, SourceModule, UnreadableError
from dt_action.analysis.requirement import Needs
from dt_action.model.case import TestFile
from dt_action.model.hardware import Evidence, FileNeeds, Finding, Requirement


class StaticAnalyzer:
    """
    Reads the test files under `root`; never imports them.

    `path_rules` are configuration: they outrank what is inferred, and give way to marks and pragmas.
    """

    def __init__(
        self, *, root: Path, cache_dir: Path | None = None, path_rules: Sequence[PathRule] = (), processes: int = 0
    ) -> None:
        self._root = root
        self._cache_dir = cache_dir
        self._rules = tuple(path_rules)
        self._processes = processes

    def analyze(self, files: Sequence[TestFile]) -> Mapping[str, FileNeeds]:
        """The needs by path. A file that cannot be read or parsed needs nothing and has a finding."""
        project = Project(self._root)
        return {file.path: analyze_file(project, file.path, self._rules) for file in files}


def analyze_file(project: Project, path: str, rules: Sequence[PathRule] = ()) -> FileNeeds:
    """The needs of one file."""
    configured = [
        Statement(fields=rule.fields, file=rule.source, line=0, rule="path-rule")
        for rule in rules
        if rule.matches(path)
    ]
    try:
        module = project.read(path)
    except UnreadableError as error:
        finding = Finding(
            evidence=Evidence(file=path, line=error.line, rule="unreadable"),
            message=f"the file was not analysed: {error.reason}",
        )
        said, problems = combine(Requirement(), configured)
        return FileNeeds(path=path, default=said, findings=(finding, *problems))
    try:
        inference = infer(project, module)
    except Exception as error:  # a test file must never stop a run, whatever is in it
        finding = Finding(
            evidence=Evidence(file=path, line=1, rule="not-understood"),
            message=f"the file was not analysed, please report this: {type(error).__name__}: {error}",
        )
        return FileNeeds(path=path, default=combine(Requirement(), configured)[0], findings=(finding,))
    return _Summary(module, configured).needs(inference)


class _Summary:
    """The model's view of an inference, under what people said."""

    def __init__(self, module: SourceModule, configured: Sequence[Statement]) -> None:
        self._path = module.path
        self._pragmas = pragmas_of(module)
        self._common = [*configured, *self._pragmas.whole]
        self._findings: dict[Finding, None] = dict.fromkeys(self._pragmas.findings)

    def needs(self, inference: FileInference) -> FileNeeds:
        """What the tests of the file need."""
        tests = [test for test in inference.tests if not test.common.never_runs]
        whole = self._said(inference.whole, self._common)
        by_test = {test.key: self._of_test(test) for test in tests}
        first = next(iter(by_test.values()), whole)
        default = first if all(requirement == first for requirement in by_test.values()) else whole
        cases = {key: requirement for key, requirement in by_test.items() if requirement != default}
        for test in tests:
            for case in test.cases:
                said = self._said(case.needs, self._statements(test, case.marks))
                if case.name is not None and said != by_test[test.key]:
                    cases[case.name] = said
        return FileNeeds(path=self._path, default=default, cases=cases, findings=tuple(self._findings))

    def _of_test(self, test: TestNeeds) -> Requirement:
        return self._said(test.common, self._statements(test, test.marks))

    def _statements(self, test: TestNeeds, marks: Sequence[object]) -> list[Statement]:
        """Farthest first: configuration, the file's pragmas, marks from the module inwards, pragmas on the spot."""
        spoken = [statement_of(mark) for mark in reversed(marks)]  # type: ignore[arg-type]
        near = [statement for line in test.lines for statement in self._pragmas.by_line.get(line, ())]
        return [*self._common, *spoken, *near]

    def _said(self, needs: Needs, statements: Sequence[Statement]) -> Requirement:
        requirement, findings = combine(needs.requirement, statements)
        self._findings |= dict.fromkeys(findings)
        return requirement

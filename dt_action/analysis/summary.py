"""One file's needs: what its code says, under what people said of it."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.analysis.explicit import PathRule, Statement, combine, pragmas_of, statement_of
from dt_action.analysis.findings import findings_in
from dt_action.analysis.inference import FileInference, TestNeeds, infer
from dt_action.analysis.project import Project, SourceModule, UnreadableError
from dt_action.analysis.requirement import Needs
from dt_action.analysis.values import Mark
from dt_action.model.hardware import NOTHING, Evidence, FileNeeds, Finding, Requirement


def analyze_file(project: Project, path: str, rules: Sequence[PathRule] = ()) -> FileNeeds:
    """The needs of one file. Whatever is in it, this does not raise: a finding says what could not be done."""
    configured = [
        Statement(fields=rule.fields, file=rule.source, line=0, rule="path-rule")
        for rule in rules
        if rule.matches(path)
    ]
    try:
        module = project.read(path)
        return _Summary(module, configured).needs(infer(project, module))
    except UnreadableError as error:
        return _without_code(path, configured, "unreadable", error.reason, error.line)
    except Exception as error:  # a test file must never stop a run
        reason = f"please report this: {type(error).__name__}: {error}"
        return _without_code(path, configured, "not-understood", reason, 1)


def _without_code(path: str, configured: Sequence[Statement], rule: str, reason: str, line: int) -> FileNeeds:
    said, problems = combine(NOTHING, configured)
    evidence = Evidence(file=path, line=line, rule=rule)
    finding = Finding(evidence=evidence, message=f"the file was not analysed: {reason}")
    return FileNeeds(path=path, default=said, findings=(finding, *problems))


class _Summary:
    """The model's view of an inference, under what people said."""

    def __init__(self, module: SourceModule, configured: Sequence[Statement]) -> None:
        self._path = module.path
        self._pragmas = pragmas_of(module)
        self._common = [*configured, *self._pragmas.whole]
        self._findings: dict[Finding, None] = dict.fromkeys((*self._pragmas.findings, *findings_in(module)))

    def needs(self, inference: FileInference) -> FileNeeds:
        """What the tests of the file need."""
        tests = [test for test in inference.tests if not test.common.never_runs]
        self._findings |= dict.fromkeys((*self._never_run(inference), *self._not_followed(inference)))
        whole = self._said(inference.whole, self._common)
        by_test = {test.key: self._of_test(test) for test in tests}
        first = next(iter(by_test.values()), whole)
        default = first if all(requirement == first for requirement in by_test.values()) else whole
        cases = {key: requirement for key, requirement in by_test.items() if requirement != default}
        for test in tests:
            for case in test.cases:
                said = self._said(case.needs, self._statements(test, case.marks))
                if said != by_test[test.key]:
                    cases |= dict.fromkeys(case.names, said)
        return FileNeeds(path=self._path, default=default, cases=cases, findings=tuple(self._findings))

    def _never_run(self, inference: FileInference) -> list[Finding]:
        """Rule `never-runs`: gates that exclude each other, so that the test is green because it is always skipped."""
        return [
            Finding(
                evidence=Evidence(file=gate.file, line=gate.line, rule="never-runs"),
                message=f"no machine runs {test.key}: its gates exclude each other",
            )
            for test in inference.tests
            if test.common.never_runs and not any(gate.is_certain for gate in test.common.gates)
            for gate in test.common.gates[:1]
        ]

    def _not_followed(self, inference: FileInference) -> list[Finding]:
        """Rule `not-followed`: what would take more work than a file is worth, so that its decorators alone count."""
        cut = [test for test in inference.tests if not test.is_understood]
        if not cut:
            return []
        evidence = Evidence(file=self._path, line=cut[0].line, rule="not-followed")
        what = cut[0].key if len(cut) == 1 else f"{cut[0].key} and {len(cut) - 1} more"
        message = f"{what} not followed to the end: the code takes too much work, so decorators and classes alone count"
        return [Finding(evidence=evidence, message=message)]

    def _of_test(self, test: TestNeeds) -> Requirement:
        return self._said(test.common, self._statements(test, test.marks))

    def _statements(self, test: TestNeeds, marks: Sequence[Mark]) -> list[Statement]:
        """Farthest first: configuration, the file's pragmas, marks from the module inwards, pragmas on the spot."""
        spoken = [statement_of(mark) for mark in reversed(marks)]
        near = [statement for line in test.lines for statement in self._pragmas.by_line.get(line, ())]
        return [*self._common, *spoken, *near]

    def _said(self, needs: Needs, statements: Sequence[Statement]) -> Requirement:
        requirement, findings = combine(needs.requirement, statements)
        self._findings |= dict.fromkeys(findings)
        return requirement

"""
Writes what CI services read from the table of options: action.yml, composite/action.yml and the Jenkins library's help.

`python tools/interfaces.py` writes the files; `--check` only says which ones differ. A test compares them, too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from dt_action.options import GROUPS, OPTIONS, Option
from dt_action.providers import outputs

ROOT = Path(__file__).parent.parent
WRITTEN = "Written by tools/interfaces.py from dt_action/options/table.py; a test compares them."
FROM_CONTEXT = {
    "token": "${{ github.token }}",
    "check_run_id": "${{ job.check_run_id }}",
    "leg": "${{ toJSON(matrix) }}",
}
"""Inputs whose default the runner knows. Every other default is empty, so that a configuration file can speak."""

OUTPUT_HELP: Mapping[str, str] = {
    "conclusion": "passed, failed, cancelled, timeout, incomplete, skipped (all of them) or no-tests",
    "total": "number of tests",
    "passed": "number of tests that passed",
    "failed": "number of tests that failed",
    "skipped": "number of tests that were skipped",
    "flaky": "number of tests that passed after a failed attempt",
    "duration": "seconds that the tests took",
    "coverage": "percent of the code that the tests ran, where it was measured",
    "report_dir": "directory of the reports",
    "report_json": "path of the JSON report",
    "report_md": "path of the Markdown report",
    "report_html": "path of the HTML report",
    "report_junit": "path of the JUnit report",
    "report_ctrf": "path of the CTRF report",
    "matrix": "the matrix of jobs, as JSON for `strategy.matrix` (command: plan)",
    "attempt": "the attempt at the workflow run in which the matrix was made (command: plan)",
}


OF_PLAN = ("matrix", "attempt")
"""The outputs of `command: plan`."""


def action_options() -> list[Option]:
    """The options that are inputs."""
    return [row for row in OPTIONS if row.has_flag]


def docker_action() -> str:
    """action.yml"""
    return "\n".join(
        [
            f"# {WRITTEN}",
            "name: Distributed Testing",
            "description: Run a Python project's tests where the hardware they need is, and tell the pull request",
            "author: Distributed Testing",
            "branding:",
            "  icon: check-circle",
            "  color: green",
            *_inputs(),
            *_outputs(""),
            "runs:",
            "  using: docker",
            "  image: Dockerfile # a release names the finished image by its digest instead",
            "",
        ]
    )


def composite_action() -> str:
    """composite/action.yml"""
    env = [f"        INPUT_{row.input.upper()}: ${{{{ inputs.{row.input} }}}}" for row in action_options()]
    return "\n".join(
        [
            f"# {WRITTEN}",
            "# The same action on the runner's own Python: for macOS and Windows, and where no image can be pulled.",
            "name: Distributed Testing (without a container)",
            "description: Run a Python project's tests with the Python of this job, and tell the pull request",
            "author: Distributed Testing",
            *_inputs(python=True),
            *_outputs("${{ steps.dt.outputs.NAME }}"),
            "runs:",
            "  using: composite",
            "  steps:",
            "    - name: Install dt",
            "      id: install",
            "      shell: bash",
            "      env:",
            "        ACTION_PATH: ${{ github.action_path }}",
            "        COVERAGE: ${{ inputs.coverage || env.DT_COVERAGE }}",
            '      run: bash "$ACTION_PATH/install.sh"',
            "    - name: Run the tests",
            "      id: dt",
            "      shell: bash",
            "      env:",
            "        INPUT_COMMAND: ${{ inputs.command }}",
            *env,
            "        DT: ${{ steps.install.outputs.dt }}",
            "        DT_DEFAULT_PYTHON: ${{ steps.install.outputs.python }}",
            "      run: '\"$DT\"'",
            "",
        ]
    )


def jenkins_help() -> str:
    """jenkins/vars/distributedTesting.txt"""
    lines = [
        "distributedTesting: run a Python project's tests where the hardware they need is, and show them in the build.",
        "",
        "    distributedTesting(testDir: 'tests')",
        "    distributedTesting(testTypes: ['integration', 'stress'], image: 'registry.example.org/dt:1')",
        "",
        "Of the library itself:",
        "",
        "  image           image to run in; without it, `dt` of the agent is used",
        "  dockerArgs      more arguments for `docker run`, such as '--gpus all'",
        "  testTypes       test types to run in parallel, a stage for each: a list, or words with commas between them",
        "  shards          how many agents run a share of each, in a stage of its own; then one report  [1]",
        "  agent           label of the agents of shards  [any]",
        "  label           name of this leg of a matrix  [the test type]",
        "  credentials     [coordinatorUrl: 'id', apiKey: 'id'] of secret texts  [variables of the agent]",
        "  coverage        true: measure coverage, and show it with the Coverage plugin  [false]",
        "  rerunFailed     true: of the commit of the build before, run only what failed (Copy Artifact)  [false]",
        "  failOnError     whether failed tests make the build FAILURE instead of UNSTABLE  [true]",
        "  isolationImage  image of `isolation: 'container'`, which is none of Jenkins'",
        "",
        "Of dt, in camel case (docs/options.md says more):",
    ]
    for group, title in GROUPS.items():
        rows = [row for row in jenkins_options() if row.group == group]
        lines += ["", f"  {title}:"] if rows else []
        for row in rows:
            lines.append(f"    {camel_case(row.key):<18} {row.help}  [{row.show(row.default).strip('()')}]")
    return "\n".join(lines) + "\n"


_NOT_FOR_JENKINS = frozenset(
    {"api_key", "provider", "token", "comment", "check_name", "check_run_id", "leg"}
    | {"badges", "badge_branch", "badge_dir"}
    | {"image", "coverage", "rerun_failed", "shard", "label"}  # the library has something of its own by these names
)


def jenkins_options() -> list[Option]:
    """The options that the shared library takes: not those of other services, and no secret, which is a credential."""
    return [row for row in action_options() if row.group != "matrix" and row.name not in _NOT_FOR_JENKINS]


def jenkins_names() -> str:
    """jenkins/src/org/distributedtesting/DtOptions.groovy"""
    names = [f"        '{camel_case(row.key)}'," for row in jenkins_options()]
    return "\n".join(
        [
            "package org.distributedtesting",
            "",
            f"/** {WRITTEN} */",
            "class DtOptions implements Serializable {",
            "",
            "    private static final long serialVersionUID = 1L",
            "",
            "    static final List<String> NAMES = [",
            *names,
            "    ]",
            "",
            "}",
            "",
        ]
    )


def camel_case(key: str) -> str:
    """`test-dir` -> testDir"""
    first, *rest = key.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _inputs(*, python: bool = False) -> list[str]:
    lines = [
        "inputs:",
        "  command:",
        "    description: 'run: run the tests; plan: set the output `matrix`; report: merge the reports of many jobs'",
        "    required: false",
        "    default: run",
    ]
    for row in action_options():
        default = FROM_CONTEXT.get(row.input, "")
        described = row.show(row.default).strip("()")
        shown = "" if described in ("not set", "") or default else f" [{described}]"
        lines += [
            f"  {row.input}:",
            f"    description: {_quoted(row.help + shown)}",
            "    required: false",
            f"    default: {default or _quoted('')}",
        ]
    return lines


def _outputs(value: str) -> list[str]:
    lines = ["outputs:"]
    for name in (*outputs.NAMES, *OF_PLAN):
        text = OUTPUT_HELP[name]
        lines += [f"  {name}:", f"    description: {_quoted(text)}"]
        lines += [f"    value: {value.replace('NAME', name)}"] if value else []
    return lines


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'" if "'" in text or "`" in text or not text else json.dumps(text)


FILES = {
    "action.yml": docker_action,
    "composite/action.yml": composite_action,
    "jenkins/vars/distributedTesting.txt": jenkins_help,
    "jenkins/src/org/distributedtesting/DtOptions.groovy": jenkins_names,
}


def differing() -> list[str]:
    """The files that are not what the table says."""
    found = []
    for name, made in FILES.items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != made():
            found.append(name)
    return found


def main() -> int:
    """Write the files, or check them."""
    if "--check" in sys.argv[1:]:
        stale = differing()
        print("\n".join(f"{name} differs; run python tools/interfaces.py" for name in stale))
        return bool(stale)
    for name, made in FILES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made(), encoding="utf-8", newline="\n")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

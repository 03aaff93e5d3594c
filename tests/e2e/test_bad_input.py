"""dt in a step of a GitHub job, given what goes wrong in practice: one clear message each, nothing broken, no leak."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from github_double import GitHubDouble
from publications import pull_request_event

SECRET = "correct-horse-battery"
SECRET_IN_BASE64 = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"
MIB = 1 << 20


class Step:
    """A step that runs the action in a project of its own."""

    def __init__(self, double: GitHubDouble, tmp_path: Path) -> None:
        self.root = tmp_path / "app"
        self.root.mkdir()
        self.double = double
        self.summary, self.output = tmp_path / "summary.md", tmp_path / "output"
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "DT_CONNECT_TIMEOUT": "1s",
            "PYTEST_ADDOPTS": os.environ.get("PYTEST_ADDOPTS", ""),
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": double.url,
            "GITHUB_REPOSITORY": "team/app",
            "GITHUB_RUN_ID": "1",
            "GITHUB_EVENT_PATH": str(pull_request_event(tmp_path)),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            "INPUT_TOKEN": "ghs_write",
            "INPUT_COMMENT": "always",
            "INPUT_CHECK_NAME": "Tests",
        }

    def write_tests(self, *lines: str, name: str = "test_a.py") -> None:
        (self.root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def run(self, **inputs: str) -> tuple[int, str]:
        """The exit code and the log."""
        done = subprocess.run(
            [sys.executable, "-m", "dt_action"],
            cwd=self.root,
            env=self.environ | {f"INPUT_{name.upper()}": value for name, value in inputs.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout.decode("utf-8", "replace")

    def everything(self) -> str:
        """All that left the step: documents, summary, outputs and what the API received."""
        reports = [path.read_text(errors="replace") for path in sorted(self.root.joinpath("test_reports").glob("*"))]
        files = [path.read_text(errors="replace") for path in (self.summary, self.output) if path.exists()]
        return "\n".join([*reports, *files, json.dumps([call.body for call in self.double.received])])


@pytest.fixture
def step(github: GitHubDouble, tmp_path: Path) -> Step:
    return Step(github, tmp_path)


@pytest.mark.parametrize(
    ("inputs", "code", "words"),
    [
        ({"test_type": "integratoin"}, 4, "input test_type names 'integratoin'; expected all, or of integration"),
        ({"timeout": "soon"}, 4, "input timeout is 'soon'; expected a duration"),
        ({"test_dir": "nowhere"}, 4, "input test_dir is 'nowhere', which is not in"),
        ({"test_pattern": "nothing_*.py"}, 5, "no test file was found"),
        ({"test_files": "tests/missing.py"}, 4, "input test_files names 'tests/missing.py', which is not in"),
        ({"command": "deploy"}, 4, "the input `command` is 'deploy'; expected one of run, plan, report"),
        ({"shard": "3/2"}, 4, "input shard is '3/2'"),
        ({"comment": "sometimes"}, 4, "input comment is 'sometimes'; expected one of changes, always, failures, off"),
        ({"runners": "warp=x", "command": "plan"}, 4, "--runners has 'warp=x'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_input_is_one_clear_error_annotation_and_nothing_is_published(
    step: Step, inputs: dict[str, str], code: int, words: str
) -> None:
    step.write_tests("def test_a():", "    pass")
    status, log = step.run(**inputs)
    assert status == code, log
    assert words in log
    assert len([line for line in log.splitlines() if line.startswith("::error")]) == 1
    assert "Traceback" not in log
    assert step.double.received == []


@contextmanager
def a_server_that_answers(status: int) -> Iterator[str]:
    """The address of something that is no coordinator, or does not want us."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = do_HEAD = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [401, 403, 503, 0], ids=["wrong key", "not allowed", "outage", "unreachable"])
def test_a_coordinator_that_cannot_be_had_is_one_clear_error_without_the_key(step: Step, status: int) -> None:
    step.write_tests("def test_a():", "    pass")
    with a_server_that_answers(status) if status else nullcontext("http://127.0.0.1:9") as url:
        code, log = step.run(coordinator_url=url, api_key=SECRET)
    assert code == 7, log
    assert len([line for line in log.splitlines() if line.startswith("::error")]) == 1
    assert url in log
    assert (f"answered {status}" if status else "no connection") in log
    assert "Traceback" not in log
    assert SECRET not in "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))


HOSTILE = {
    "a command": "::error::x",
    "markup": "a|b`<script>alert(1)</script>`@everyone #1",
    "lines": "one\ntwo\r\nthree",
    "colours": "\x1b[31mred\x1b[0m\x07",
    "length": "x" * 10_000,
    "outputs": "\nconclusion=passed\n",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_test_name_breaks_no_document_and_no_payload(step: Step, name: str) -> None:
    step.write_tests(
        "import pytest", f"@pytest.mark.parametrize('p', [1], ids=[{name!r}])", "def test(p):", "    assert 0, p"
    )
    status, log = step.run()
    assert status == 1, log
    assert "0 passed, 1 failed, 0 skipped" in log
    assert "conclusion<<" in step.output.read_text()
    body = step.double.repository.comments[0]["body"]
    outside_code = re.sub(r"<code>.*?</code>|```.*?```", "", body, flags=re.DOTALL)
    visible = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", outside_code, flags=re.DOTALL)
    assert "<script>" not in visible
    assert "@everyone" not in visible
    assert "\x1b" not in step.summary.read_text()
    (annotation,) = (item for items in step.double.repository.annotations.values() for item in items)
    assert len(annotation["title"]) <= 255
    assert step.summary.stat().st_size < 100_000


def test_a_secret_that_a_test_prints_is_in_nothing_of_ours(step: Step) -> None:
    step.environ |= {"DEPLOY_TOKEN": SECRET, "INPUT_API_KEY": "key-" + SECRET}
    step.write_tests(
        "import base64, os, sys",
        "def test_leak():",
        "    secret = os.environ['DEPLOY_TOKEN']",
        "    print(secret, file=sys.stderr)",
        "    print(base64.b64encode(secret.encode()).decode())",
        "    assert 'INPUT_API_KEY' not in os.environ",
        "    assert secret == 'x'",
    )
    status, log = step.run(redact="DEPLOY_TOKEN")
    assert status == 1, log
    shown = "\n".join(line for line in log.splitlines() if not line.startswith("::add-mask::"))
    for text in (shown, step.everything()):
        assert SECRET not in text
        assert SECRET_IN_BASE64 not in text
    assert "***" in step.everything()


def test_a_summary_that_is_nearly_full_is_kept_and_added_to_within_a_mebibyte(step: Step) -> None:
    step.summary.write_bytes(b"x" * 1_040_000)
    step.write_tests(
        "import pytest",
        "@pytest.mark.parametrize('n', range(400))",
        "def test(n):",
        "    assert n == -1, 'ü' * 300",
    )
    status, log = step.run()
    assert status == 1, log[-2000:]
    assert 1_040_000 < step.summary.stat().st_size <= MIB
    assert len(step.double.repository.comments[0]["body"].encode()) <= 60_000


def test_a_log_of_three_hundred_megabytes_is_cut_and_everything_is_told(step: Step) -> None:
    step.write_tests(
        "import sys",
        "def test_loud():",
        "    line = 'x' * 1023 + '\\n'",
        "    for _ in range(300 * 1024):",
        "        sys.stdout.write(line)",
        "    assert 0, 'loud'",
    )
    status, log = step.run()
    assert status == 1, log[-2000:]
    assert "0 passed, 1 failed, 0 skipped" in log
    assert len(log) < 10 * MIB
    assert step.summary.stat().st_size <= MIB
    assert max(path.stat().st_size for path in step.root.joinpath("test_reports").glob("*")) < 64 * MIB


def test_a_refused_comment_is_a_warning_and_strict_publishing_makes_it_exit_code_8(step: Step) -> None:
    step.write_tests("def test_a():", "    pass")
    status, log = step.run(token="ghs_read")
    assert status == 0, log
    assert "::warning title=Distributed Testing::the comment: POST repos/team/app/issues/7/comments: 403" in log
    status, log = step.run(token="ghs_read", strict_publishing="true")
    assert status == 8, log


def test_an_unreachable_github_is_a_warning(step: Step) -> None:
    step.environ["GITHUB_API_URL"] = "http://127.0.0.1:9"
    step.write_tests("def test_a():", "    pass")
    status, log = step.run()
    assert status == 0, log
    assert "was not answered" in log
    assert "1 passed" in step.summary.read_text()

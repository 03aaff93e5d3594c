"""What `dt run` tells of a project is what plain pytest tells: semantics that are easily lost in dealing out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FILES = {
    "one module's tests need another module's import": {
        "test_a.py": "import app.hidden\ndef test_a(): pass\n",
        "test_b.py": "import app\n" + "".join(f"def test_b{n}(): assert app.hidden\n" for n in range(30)),
        "app/__init__.py": "",
        "app/hidden.py": "",
    },
    "fixtures of every scope": {
        "conftest.py": """
            import pytest
            counts = {}
            @pytest.fixture(scope="session")
            def of_session(): counts["session"] = counts.get("session", 0) + 1; yield counts
            @pytest.fixture(scope="package")
            def of_package(): yield 1
            @pytest.fixture(scope="module")
            def of_module(request): yield request.module.__name__
        """,
        "sub/__init__.py": "",
        "sub/test_p.py": "def test_p(of_package, of_session): assert of_session['session'] == 1\n",
        "test_m.py": "def test_m(of_module, of_session): assert of_module == 'test_m' and of_session['session'] == 1\n",
        "test_n.py": "def test_n(of_session): assert of_session['session'] == 1\n",
    },
    "tests of a module that build on each other": {
        "test_steps.py": """
            import pytest
            made = []
            @pytest.fixture(scope="module")
            def place(): return made
            @pytest.mark.parametrize("n", range(200))
            def test_step(place, n):
                assert len(place) == n
                place.append(n)
        """,
        "test_other.py": "def test_other(): pass\n",
    },
    "ids that are hard on formats": {
        "test_ids.py": """
            import pytest
            @pytest.mark.parametrize("x", ["a b", "ü", "::", "[", "]", "a/b", "\\n", "\\x00", "😀", "<&>\\"'", "#x1B[31m"])
            def test_id(x): pass
        """,
        "test_umläut.py": "def test_ä(): pass\n",
    },
    "output of an import next to a test's": {
        "test_x.py": "print('import x')\ndef test_x(capsys):\n    print('hello')\n    assert capsys.readouterr().out == 'hello\\n'\n",
        "test_y.py": "print('import y')\ndef test_y(capfd):\n    print('hello')\n    assert capfd.readouterr().out == 'hello\\n'\n",
        "test_z.py": "import sys\nprint('import z')\ndef test_z(): pass\ndef test_argv(): assert 'pytest' in sys.argv[0]\n",
    },
    "processes and threads of tests": {
        "test_fork.py": """
            import multiprocessing, threading, os, pytest
            def work(n): return n + 1
            @pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
            def test_pool(method):
                with multiprocessing.get_context(method).Pool(1) as pool:
                    assert pool.map(work, [1]) == [2]
            def test_alone(): assert threading.active_count() == 1
            def test_forks():
                pid = os.fork()
                if pid == 0: os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
        """,
        "test_more.py": "def test_more(): pass\n",
    },
}


def run(command: list[str], root: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=root, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


PLUGIN = """
import json, os
outcomes = {}
def pytest_runtest_logreport(report):
    if hasattr(report, "wasxfail"): word = "xpassed" if report.passed else "xfailed"
    elif report.failed: word = "failed" if report.when == "call" else "error"
    elif report.skipped: word = "skipped"
    elif report.when == "call": word = "passed"
    else: return
    if outcomes.get(report.nodeid) not in ("failed", "error"): outcomes[report.nodeid] = word
def pytest_sessionfinish(): open(os.environ["OUTCOMES"], "w").write(json.dumps(outcomes))
"""


@pytest.mark.parametrize("name", FILES)
def test_dt_tells_the_outcomes_that_pytest_tells(tmp_path: Path, name: str) -> None:
    root = tmp_path / "project"
    for path, text in FILES[name].items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text), encoding="utf-8")
    (tmp_path / "plain_outcomes.py").write_text(PLUGIN)
    plain = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "plain_outcomes"]
    told = run(plain, root, PYTHONPATH=str(tmp_path), OUTCOMES=str(tmp_path / "plain.json"))
    expected = json.loads((tmp_path / "plain.json").read_text())
    assert expected, told.stdout
    dt = [sys.executable, "-m", "dt_action", "run", "--workers", "2", "--output-dir", str(tmp_path / "out")]
    done = run([*dt, "--report-formats", "json", "--pytest-args", "-p no:cacheprovider"], root, GITHUB_ACTIONS="")
    report = json.loads(next((tmp_path / "out").glob("*.json")).read_text())
    assert {test["id"]: test["outcome"] for test in report["tests"]} == expected, done.stdout
    assert (done.returncode == 0) == (not {"failed", "error"} & set(expected.values()))

"""
Tests that misbehave, each in a real project under a real `dt run`.

In each: no test is lost or counted twice, the culprit is named, the rest completes, no process stays behind, and the
exit code is the documented one.
"""

from __future__ import annotations

import signal
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from project_on_disk import Project, processes_marked, wait_until


def source(text: str) -> str:
    return textwrap.dedent(text)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
    ],
)
def test_a_test_that_ends_its_process_is_named_and_the_others_still_run(project: Project, good, body, word):
    project.write(
        "test_bad.py", f"import os, signal\ndef test_a(): pass\ndef test_bad():\n    {body}\ndef test_c(): pass\n"
    )
    told = project.run()
    expected = {"test_bad.py::test_a": "passed", "test_bad.py::test_bad": "crashed", "test_bad.py::test_c": "passed"}
    assert told.outcomes == {**good, **expected}
    assert word in told.of("test_bad.py::test_bad")["message"]
    assert "test_bad.py::test_bad" in told.output
    assert told.code == 1


def test_a_segfault_shows_where_it_happened(project: Project):
    project.write("test_bad.py", "import ctypes\ndef test_bad():\n    ctypes.string_at(0)\n")
    told = project.run()
    assert "test_bad.py" in told.detail("test_bad.py::test_bad")
    assert "Segmentation fault" in told.detail("test_bad.py::test_bad")


def test_a_test_that_loops_for_ever_is_ended_by_its_timeout_and_shows_where_it_was(project: Project, good):
    project.write("test_bad.py", "def test_spin():\n    while True:\n        pass\ndef test_after(): pass\n")
    told = project.run("--case-timeout", "1")
    assert told.outcomes == {**good, "test_bad.py::test_spin": "timeout", "test_bad.py::test_after": "passed"}
    assert "timeout of 1 s" in told.of("test_bad.py::test_spin")["message"]
    assert "in test_spin" in told.detail("test_bad.py::test_spin")
    assert told.code == 1


def test_the_whole_run_ends_at_its_timeout_with_everything_finished_kept(project: Project, good):
    project.write("test_bad.py", "import time\ndef test_sleep():\n    time.sleep(600)\ndef test_after(): pass\n")
    told = project.run("--timeout", "15")
    assert {id: told.outcomes[id] for id in good} == good
    assert told.outcomes["test_bad.py::test_sleep"] == "timeout"
    assert told.outcomes.get("test_bad.py::test_after") in ("lost", "passed")
    assert told.code == 1


def test_a_test_that_prints_nothing_for_longer_than_the_limit_is_ended(project: Project, good):
    project.write("test_bad.py", "import time\ndef test_silent():\n    time.sleep(600)\n")
    told = project.run("--no-output-timeout", "1")
    assert told.outcomes == {**good, "test_bad.py::test_silent": "timeout"}
    assert "printed nothing for 1 s" in told.of("test_bad.py::test_silent")["message"]


@pytest.mark.skipif(sys.platform != "linux", reason="what pytest captures can be seen from outside on Linux only")
def test_a_test_that_prints_is_not_silent_although_pytest_captures_it(project: Project):
    body = """
        import time
        def test_chatty():
            for _ in range(8):
                print("alive", flush=True)
                time.sleep(0.25)
    """
    project.write("test_chatty.py", source(body))
    told = project.run("--no-output-timeout", "1")
    assert told.outcomes["test_chatty.py::test_chatty"] == "passed"


@pytest.mark.parametrize("detach", [False, True])
def test_a_grandchild_that_holds_the_pipes_is_not_waited_for_and_does_not_stay(project: Project, good, detach):
    word = f"grandchild-{uuid.uuid4().hex}"
    body = f"""
        import subprocess, sys
        def test_leaves_one():
            code = "import time; time.sleep(600)  # {word}"
            subprocess.Popen([sys.executable, "-c", code], start_new_session={detach})
    """
    project.write("test_leaves.py", source(body))
    told = project.run()
    assert told.outcomes == {**good, "test_leaves.py::test_leaves_one": "passed"}
    assert told.code == 0
    assert processes_marked(word) == []


def test_a_hanging_test_takes_its_grandchildren_with_it(project: Project):
    word = f"grandchild-{uuid.uuid4().hex}"
    body = f"""
        import subprocess, sys
        def test_hangs():
            subprocess.run([sys.executable, "-c", "import time; time.sleep(600)  # {word}"])
    """
    project.write("test_hangs.py", source(body))
    told = project.run("--case-timeout", "1")
    assert told.outcomes["test_hangs.py::test_hangs"] == "timeout"
    assert processes_marked(word) == []


@pytest.mark.parametrize("ending", ["pass", "assert False"])
def test_200_megabytes_of_output_are_cut_and_cost_nothing_else(project: Project, good, ending):
    body = f"""
        import sys
        def test_loud():
            for _ in range(200):
                sys.stdout.write("x" * (1 << 20))
            {ending}
    """
    project.write("test_loud.py", source(body))
    told = project.run()
    outcome = "passed" if ending == "pass" else "failed"
    assert told.outcomes == {**good, "test_loud.py::test_loud": outcome}
    assert len(str(told.report)) < 5_000_000
    assert len(told.output) < 2_000_000


def test_a_test_that_closes_its_outputs_passes_and_the_next_ones_run(project: Project, good):
    project.write(
        "test_closes.py", "import os\ndef test_closes():\n    os.close(1); os.close(2)\ndef test_next(): pass\n"
    )
    told = project.run()
    assert {id: told.outcomes[id] for id in good} == good
    assert set(told.outcomes) == {*good, "test_closes.py::test_closes", "test_closes.py::test_next"}
    assert told.outcomes["test_closes.py::test_next"] != "lost"


def test_a_test_that_deletes_the_working_directory_loses_no_report(project: Project, good):
    body = """
        import os, shutil
        def test_deletes():
            shutil.rmtree(os.getcwd())
    """
    project.write("test_deletes.py", source(body))
    told = project.run()
    assert set(told.outcomes) == {*good, "test_deletes.py::test_deletes"}
    assert told.outcomes["test_deletes.py::test_deletes"] == "passed"


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt"])
def test_an_exception_that_ends_programs_fails_one_test(project: Project, good, name):
    project.write("test_bad.py", f"def test_a(): pass\ndef test_raises():\n    raise {name}\ndef test_c(): pass\n")
    told = project.run()
    expected = {"test_bad.py::test_a": "passed", "test_bad.py::test_raises": "failed", "test_bad.py::test_c": "passed"}
    assert told.outcomes == {**good, **expected}
    assert name in str(told.of("test_bad.py::test_raises"))
    assert told.code == 1


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "ValueError('no')"])
def test_an_exception_at_import_is_told_with_the_file_and_the_others_run(project: Project, good, name):
    project.write("test_bad.py", f"raise {name}\n")
    told = project.run()
    assert told.outcomes == {**good, "test_bad.py": "error"}
    assert name.partition("(")[0] in str(told.of("test_bad.py"))
    assert told.code == 1


def test_a_file_that_ends_the_process_at_import_is_named(project: Project, good):
    project.write("test_bad.py", "import os\nos._exit(7)\n")
    told = project.run()
    assert told.outcomes == {**good, "test_bad.py": "crashed"}
    assert "code 7" in told.of("test_bad.py")["message"]


def test_a_conftest_that_fails_to_import_is_named_and_its_files_are_not_green(project: Project):
    project.write("conftest.py", "import a_module_that_is_not_there\n")
    told = project.run()
    assert told.outcomes["conftest.py"] == "error"
    assert "a_module_that_is_not_there" in told.output
    assert told.code == 1


def test_a_conftest_in_a_folder_that_fails_leaves_the_other_folders_running(project: Project, good):
    project.write("sub/conftest.py", "import a_module_that_is_not_there\n")
    project.write("sub/test_never.py", "def test_never(): pass\n")
    told = project.run("--test-dir", ".")
    assert {id: told.outcomes.get(id) for id in good} == good
    assert "a_module_that_is_not_there" in told.output
    assert told.code == 1


@pytest.mark.parametrize("content", [b"def test_a(:\n", b"# \xff\xfe\x00\ndef test_a(): pass\n", b"x = '\xe9'\n"])
def test_a_file_that_does_not_parse_is_told_and_the_others_run(project: Project, good, content):
    project.write("test_bad.py", content)
    told = project.run()
    assert told.outcomes == {**good, "test_bad.py": "error"}
    assert told.code == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_where_reports_go_is_told_and_the_results_are_still_on_the_console(project: Project):
    project.write("test_bad.py", "def test_bad(): assert 0\n")
    full = project.root / "full"
    full.symlink_to("/dev/full")
    told = project.run("--output-dir", str(full))
    assert "test_bad.py::test_bad" in told.output
    assert "20 passed, 1 failed, 0 skipped" in told.output
    assert "full" in told.output
    assert told.code == 1


def test_ctrl_c_in_the_middle_keeps_what_finished_and_leaves_no_process(project: Project, good):
    word = f"marker-{uuid.uuid4().hex}"
    project.write(
        "test_long.py", f"import time, pathlib\ndef test_long():\n    pathlib.Path('{word}').touch(); time.sleep(600)\n"
    )
    process = project.start()
    wait_until((project.root / word).exists)
    process.send_signal(signal.SIGINT)
    told = project.told(process)
    assert told.outcomes["test_long.py::test_long"] == "lost"
    assert told.report["conclusion"] == "cancelled"
    assert told.code == 2
    assert processes_marked(str(project.root)) == []


def test_retries_keep_every_attempt_and_a_test_that_passes_in_the_end_is_flaky(project: Project, good):
    body = """
        import pathlib
        def test_flaky():
            path = pathlib.Path("tried")
            tried = path.exists()
            path.touch()
            assert tried
    """
    project.write("test_flaky.py", source(body))
    told = project.run("--retries", "2")
    assert told.outcomes == {**good, "test_flaky.py::test_flaky": "passed"}
    assert [attempt["outcome"] for attempt in told.of("test_flaky.py::test_flaky")["attempts"]] == ["failed", "passed"]
    assert told.code == 0


def test_fail_fast_stops_and_is_never_green(project: Project):
    project.write("test_bad.py", "import pytest\n@pytest.mark.parametrize('n', range(50))\ndef test_bad(n): assert 0\n")
    told = project.run("--fail-fast", "3")
    assert told.code == 1
    assert sum(outcome == "failed" for outcome in told.outcomes.values()) >= 3


def test_file_isolation_gives_each_file_a_process_of_its_own(project: Project, good):
    for name in "abc":
        project.write(
            f"test_{name}.py", "import os, pathlib\ndef test_pid():\n    pathlib.Path(str(os.getpid())).touch()\n"
        )
    told = project.run("--isolation", "file")
    assert set(told.outcomes.values()) == {"passed"}
    assert len(told.outcomes) == len(good) + 3
    assert len([path for path in project.root.iterdir() if path.name.isdigit()]) == 3

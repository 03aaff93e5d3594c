"""What a test may find made by another one is known to concern it, in whatever way it is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from keeping_samples import KEEPING, UNDOING

SOUGHT = ("compute", "undo", "undo.__exit__")

RECORD = """
import sys
from dt_action.runner import recording
recording.start({"folder": sys.argv[1], "top": ".", "always": True})
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:randomly"], plugins=recording.plugins()))
"""


@pytest.fixture(scope="module")
def concerned(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of which the second test is known to depend on what only the first one ran, or undid."""
    root, left = tmp_path_factory.mktemp("kept"), tmp_path_factory.mktemp("left")
    (root / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    for number, text in enumerate(KEEPING.values()):
        (root / f"kept_{number}.py").write_text(f"def compute():\n    return 7\n\n\n{text}")
        tests = "".join(f"def test_{name}():\n    assert kept.use() == 7\n\n" for name in ("first", "second"))
        (root / f"test_{number}.py").write_text(f"import kept_{number} as kept\n\n{tests}")
    for number, text in enumerate(UNDOING.values()):
        (root / f"undone_{number}.py").write_text(text)
        test = f"import undone_{number} as m\n\ndef test_first():\n    m.use()\n    m.undo()\n"
        (root / f"test_undone_{number}.py").write_text(test)
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DT_", "PYTEST_X", "PYTEST_C", "PYTEST_V"))
    }
    environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    command = [os.environ.get("DT_TEST_PYTHON", sys.executable), "-c", RECORD, str(left)]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert f"{2 * len(KEEPING) + len(UNDOING)} passed" in done.stdout, done.stdout + done.stderr
    return _concerned(left)


def _concerned(folder: Path) -> set[str]:
    (file,) = folder.iterdir()
    units, found = [], set()
    for line in file.read_text().splitlines():
        told = json.loads(line)
        if told["k"] == "units":
            units += told["u"]
        elif told["k"] in ("outside", "kept") or (told["k"] == "case" and told["id"].endswith("_second")):
            found.update(
                units[number][0] for number in told["u"] if units[number][1] in ("compute", "undo", "undo.__exit__")
            )
    return found


@pytest.mark.parametrize(("number", "name"), list(enumerate(KEEPING)))
def test_what_a_test_finds_made_concerns_it(concerned: set[str], number: int, name: str) -> None:
    assert f"kept_{number}.py" in concerned, KEEPING[name]


@pytest.mark.parametrize(("number", "name"), list(enumerate(UNDOING)))
def test_what_puts_back_what_others_would_find_concerns_them(concerned: set[str], number: int, name: str) -> None:
    assert f"undone_{number}.py" in concerned, UNDOING[name]

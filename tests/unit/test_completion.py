"""What shells complete, asked of bash itself."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dt_action.cli import COMMANDS, main
from dt_action.cli.completion import WITH_OPTIONS, script
from dt_action.options import OPTIONS


def completed(*words: str) -> list[str]:
    asks = f'COMP_WORDS=({" ".join(words)} ""); COMP_CWORD={len(words) - 1}; _dt; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script('bash')}\n{asks}"], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_and_the_options_of_those_that_have_them() -> None:
    assert completed("dt", "wor") == ["workers", "worker"]
    assert completed("dt", "run", "--test-p") == ["--test-pattern"]
    assert completed("dt", "run", "tests/te") == []
    assert completed("dt", "worker", "--test-p") == []


def test_every_command_and_option_is_there_in_every_shell() -> None:
    assert set(WITH_OPTIONS) <= set(COMMANDS)
    for shell in ("bash", "zsh", "fish"):
        text = script(shell)
        flags = [row.flag if shell != "fish" else f"-l {row.flag[2:]} " for row in OPTIONS if row.has_flag]
        assert [word for word in (*COMMANDS, *flags) if word not in text] == []


def test_another_shell_is_a_mistake_that_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"], {}) == 4
    assert "bash" in capsys.readouterr().err

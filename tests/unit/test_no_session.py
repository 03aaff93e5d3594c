"""A session that ends by itself before any test ends dt with its exit code: whoever ends it so has a reason."""

from __future__ import annotations

import pytest

from dt_action.cli import tell_error
from dt_action.engine.actions import Limits, Output, Refuse, Start, StartController, Tell
from dt_action.engine.inputs import Hear, Join, Open
from dt_action.engine.run_state import RunState
from dt_action.errors import no_session
from dt_action.model.event import Notice, SessionOver
from dt_action.model.hardware import Capability, FileNeeds
from dt_action.model.plan import Plan, PlannedFile
from dt_action.model.slot_protocol import CONTROLLER, Died, NeedsController, SessionEnded
from dt_action.runner.ending import Ending, status_of


class Machine:
    """A run with one machine, and all that it is told to do."""

    def __init__(self, *, is_alone: bool = False) -> None:
        plan = Plan(files=(PlannedFile(path="test_a.py", needs=FileNeeds(path="test_a.py")),))
        self.state = RunState(plan, Limits(), has_controller=True, is_alone=is_alone)
        self.outputs: list[Output] = self.state.put(Join(worker="w0", capability=Capability(), slots=2), 0.0)

    def open(self) -> str:
        self.outputs += self.state.put(Open(worker="w0"), 0.0)
        return next(output.slot for output in reversed(self.outputs) if isinstance(output, Start))

    def hear(self, slot: str, *messages: object) -> None:
        self.outputs += self.state.put(Hear(slot=slot, messages=messages, at=0.0), 0.0)  # type: ignore[arg-type]

    def told(self, kind: type) -> list[object]:
        return [output.event for output in self.outputs if isinstance(output, Tell) and isinstance(output.event, kind)]


EARLY = SessionEnded(status=7, gate=True, exit_code=7)
DIED = Died(reason="the process exited with code 7", log_tail="Exit: no database")


def test_the_exit_code_of_a_session_without_tests_is_the_runs_after_it_was_tried_in_one_process() -> None:
    machine = Machine()
    machine.hear(machine.open(), EARLY, DIED)
    assert "in one process" in machine.told(Notice)[0].text  # type: ignore[attr-defined]
    assert not [output for output in machine.outputs if isinstance(output, Refuse)]
    machine.hear(machine.open(), EARLY, DIED)
    assert [output.exit_code for output in machine.outputs if isinstance(output, Refuse)] == [7]
    assert not machine.told(SessionOver), "what the first process said of itself is not the run's"


def test_a_controller_session_that_ends_early_is_tried_in_one_process() -> None:
    machine = Machine()
    machine.hear(machine.open(), NeedsController(reasons=("a hook",)))
    assert StartController() in machine.outputs
    machine.hear(CONTROLLER, EARLY, DIED)
    assert not [output for output in machine.outputs if isinstance(output, Refuse)]
    assert machine.state.wants_slot_on("w0")
    slot = machine.open()
    assert next(output for output in machine.outputs if isinstance(output, Start) and output.slot == slot).is_plain


@pytest.mark.parametrize(("status", "is_ours"), [(0, False), (5, False), (3, True), (77, True)])
def test_only_a_green_session_that_began_and_has_no_tests_is_no_choice_of_anybody(status: int, is_ours: bool) -> None:
    ending = Ending(is_quiet=False)
    assert ending.told(status)["exit_code"] == status
    ending.has_begun = True
    assert ("exit_code" in ending.told(status)) is is_ours
    ending.knows_tests = True
    assert "exit_code" not in ending.told(status)


@pytest.mark.parametrize(
    ("error", "status"), [(SystemExit(), 0), (SystemExit("no"), 1), (SystemExit(9), 9), (ValueError(), 1)]
)
def test_what_a_conftest_raises_gives_the_status_of_a_program(error: BaseException, status: int) -> None:
    assert status_of(error) == status


def test_what_is_no_failure_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell_error(no_session("owners: alice", hint="", exit_code=0), {}) == 0
    assert capsys.readouterr() == ("owners: alice\n", "")
    assert tell_error(no_session("no database", hint="", exit_code=7), {}) == 7
    assert tell_error(no_session("no pytest", hint="install it", exit_code=None), {}) == 4


class Stopped:
    """pytest's session, which somebody has told to end."""

    Failed, Interrupted = pytest.Session.Failed, pytest.Session.Interrupted
    shouldfail: str | bool = False
    shouldstop: str | bool = False


def test_a_session_that_is_told_to_stop_ends_as_pytest_ends() -> None:
    ending, session = Ending(is_quiet=False), Stopped()
    ending.has_begun = ending.knows_tests = True
    ending.leave_as_pytest(session)
    assert "exit_code" not in ending.told(0)
    session.shouldstop = "quota"
    with pytest.raises(Stopped.Interrupted, match="quota"):
        ending.leave_as_pytest(session)
    assert ending.told(int(pytest.ExitCode.INTERRUPTED))["exit_code"] == 2
    session.shouldfail = "fuse"
    with pytest.raises(Stopped.Failed, match="fuse"):
        ending.leave_as_pytest(session)

"""What only one process can have: when that is noticed, and for which slots the tests are then."""

from __future__ import annotations

import pytest

from dt_action.engine.singles import LEAST_WAIT_S, SLOWER, Singles
from dt_action.model.slot_protocol import SettingUp


def told(state: str, fixture: str = "server") -> SettingUp:
    return SettingUp(fixture=fixture, state=state)


@pytest.fixture
def singles() -> Singles:
    """One slot has the fixture, after a second; another one sets it up, from second 10 on."""
    singles = Singles({})
    singles.use("test_a.py", ["server"])
    singles.use("test_b.py", ["server", "other"])
    singles.hear("gw0", told("begun"), 0.0)
    singles.hear("gw0", told("done"), 1.0)
    singles.hear("gw1", told("begun"), 10.0)
    return singles


def test_a_slot_that_takes_far_longer_than_the_one_that_has_it_waits_in_vain(singles):
    assert not [*singles.stalled(10.0 + SLOWER - 0.1)]
    (conflict,) = singles.stalled(10.0 + SLOWER)
    assert (conflict.slot, conflict.home, conflict.took_s) == ("gw1", "gw0", 1.0)


def test_no_fixture_is_so_quick_that_a_moments_wait_is_a_stall():
    singles = Singles({})
    singles.hear("gw0", told("begun"), 0.0)
    singles.hear("gw0", told("done"), 0.0)
    singles.hear("gw1", told("begun"), 0.0)
    assert not [*singles.stalled(LEAST_WAIT_S - 0.1)]
    assert [*singles.stalled(LEAST_WAIT_S)]


@pytest.mark.parametrize("state", ["over", "failed"])
def test_nobody_waits_for_what_is_gone(singles, state):
    singles.hear("gw0", told(state), 11.0)
    assert not [*singles.stalled(1000.0)]


def test_nobody_waits_for_what_two_slots_have(singles):
    singles.hear("gw2", told("begun"), 11.0)
    singles.hear("gw2", told("done"), 12.0)
    assert not [*singles.stalled(1000.0)]


def test_nobody_waits_for_a_slot_that_is_gone(singles):
    singles.leave("gw0")
    assert not [*singles.stalled(1000.0)]


def test_a_failure_is_a_conflict_only_where_another_slot_has_the_fixture(singles):
    assert singles.hear("gw1", told("failed"), 10.5).home == "gw0"
    singles.leave("gw0")
    singles.hear("gw1", told("begun"), 11.0)
    assert singles.hear("gw1", told("failed"), 11.5) is None


def test_the_tests_of_a_single_fixture_are_for_its_home_and_for_anybody_once_that_is_gone(singles):
    (conflict,) = singles.stalled(100.0)
    assert singles.keep_single(conflict) == ["test_a.py", "test_b.py"]
    assert singles.barred("gw0") == frozenset()
    assert singles.barred("gw1") == {"test_a.py", "test_b.py"}
    singles.leave("gw0")
    assert singles.barred("gw1") == frozenset()
    singles.claim("gw1", ["test_b.py"])
    assert singles.barred("gw2") == {"test_a.py", "test_b.py"}


def test_a_file_that_is_collected_later_is_told_once(singles):
    (conflict,) = singles.stalled(100.0)
    singles.keep_single(conflict)
    assert singles.use("test_c.py", ["server", "other"]) == ["server"]
    assert singles.use("test_c.py", ["server"]) == []
    assert "test_c.py" in singles.barred("gw1")


def test_what_an_earlier_run_found_out_holds_from_the_start():
    singles = Singles({"server": ["test_a.py"]})
    assert singles.barred("gw1") == frozenset()
    singles.claim("gw0", ["test_a.py"])
    assert singles.barred("gw1") == {"test_a.py"}


def test_a_slot_in_which_a_program_runs_does_not_wait(singles):
    for second in range(11, 100):
        assert not [*singles.stalled(float(second))]
        if singles.maybe_stalled(float(second)):
            singles.works("gw1", float(second))
    assert [*singles.stalled(99.0 + SLOWER)]

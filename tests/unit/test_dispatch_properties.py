"""The promises of the engine, over random plans, machines and misfortunes, with simulated slots and no process."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from support.scenes import Scene, run, scenes

from dt_action.model.event import CaseFinished, CaseUnplaced, Ended, FileCollected


@given(scenes())
@settings(
    max_examples=300,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_every_case_gets_exactly_one_final_outcome_whatever_happens(scene: Scene) -> None:
    world, told = run(scene)

    finals = Counter(event.case.id for event in told if isinstance(event, CaseFinished) and not event.will_retry)
    finals.update(event.case.id for event in told if isinstance(event, CaseUnplaced))
    attempts = Counter(event.case.id for event in told if isinstance(event, CaseFinished))
    known = {case.id for event in told if isinstance(event, FileCollected) for case in event.cases}
    ended = told[-1]
    assert isinstance(ended, Ended)
    assert max(finals.values(), default=1) == 1
    assert max(attempts.values(), default=0) <= scene.limits.retries + 1
    if ended.status == "completed":
        assert known <= set(finals), "every collected case has its outcome"
        for path in _wanted(scene):
            cases = {case.id for case in scene.suite[path].cases}
            assert path in finals or cases <= set(finals), f"{path} is accounted for"
            for case in cases & set(attempts):
                assert world.starts[case] <= attempts[case] + world.excused[case], f"{case} ran too often"
    else:
        assert scene.limits.fail_fast and ended.status == "stopped"


def _wanted(scene: Scene) -> set[str]:
    planned = {file.path for file in scene.plan.files}
    return planned & set(scene.suite) if scene.plan.is_selection else set(scene.suite)

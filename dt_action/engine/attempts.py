"""What a slot tells of a case, as the model has it."""

from __future__ import annotations

from dt_action.model import slot_protocol as protocol
from dt_action.model.case import Attempt


def attempt_of(message: protocol.Finished) -> Attempt:
    """The attempt that a slot's `Finished` tells of."""
    return Attempt(
        outcome=message.outcome,
        duration_s=message.duration_s,
        started_at=message.started_at,
        message=message.message,
        detail=message.detail,
        stdout=message.stdout,
        stderr=message.stderr,
        properties=message.properties,
        reports=message.reports,
    )

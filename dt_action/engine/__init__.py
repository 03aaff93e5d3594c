"""The scheduling brain: events in, actions out. A pure state machine: no input or output, no clock, no threads."""

from dt_action.engine.actions import Action, Assign, Drop, Grant, Kill, Limits, Recall, Rest, Stop, Tell
from dt_action.engine.brain import Dispatcher
from dt_action.engine.ledger import Collected

__all__ = [
    "Action",
    "Assign",
    "Collected",
    "Dispatcher",
    "Drop",
    "Grant",
    "Kill",
    "Limits",
    "Recall",
    "Rest",
    "Stop",
    "Tell",
]

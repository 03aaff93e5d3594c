"""Who runs what next: the state machine of a run, the record of what was put into it, and the loop over a host."""

from dt_action.engine.actions import Action, Discard, Kill, Limits, Output, Refuse, Send, Start, StartController, Tell
from dt_action.engine.brain import Dispatcher
from dt_action.engine.run_state import RunState

__all__ = [
    "Action",
    "Discard",
    "Dispatcher",
    "Kill",
    "Limits",
    "Output",
    "Refuse",
    "RunState",
    "Send",
    "Start",
    "StartController",
    "Tell",
]

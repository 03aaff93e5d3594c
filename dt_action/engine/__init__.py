"""The scheduling brain: events in, actions out. A pure state machine: no input or output, no clock, no threads."""

from dt_action.engine.actions import Action, Kill, Limits, Send, StartController, Tell
from dt_action.engine.brain import Dispatcher

__all__ = ["Action", "Dispatcher", "Kill", "Limits", "Send", "StartController", "Tell"]

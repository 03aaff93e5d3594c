"""What each test needs, and the evidence for it, from reading its code."""

from dt_action.analysis.analyzer import StaticAnalyzer

__all__ = ["StaticAnalyzer"]

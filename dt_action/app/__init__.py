"""Composition: from settings to the collaborators of a run; the only place that picks implementations."""

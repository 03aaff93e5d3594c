"""Distributed Testing: run a project's tests where the hardware they need is, and tell the CI service."""

__version__ = "0.1.0"

"""Puts this folder on the path, so that tests of every kind can share what stands beside it."""

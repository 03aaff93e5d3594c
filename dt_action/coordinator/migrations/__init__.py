"""Alembic's steps from one version's tables to the next one's."""

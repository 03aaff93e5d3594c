"""Alembic's entry: the connection is handed over by `dt_action.coordinator.store.migrate`."""

from __future__ import annotations

from alembic import context

from dt_action.coordinator.store import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

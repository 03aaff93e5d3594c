"""The pages for people, behind a login by key: what runs, what failed and why, who works, and what operators do."""

from __future__ import annotations

from fastapi import APIRouter

from dt_action.coordinator.pages import operators, runs, sessions, tests, workers

PAGES = APIRouter(include_in_schema=False)
for part in (sessions, runs, tests, workers, operators):
    PAGES.include_router(part.PAGES)

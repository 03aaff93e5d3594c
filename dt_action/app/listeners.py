"""Who is told of a finished run beside the CI service: a webhook, and a collector of spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dt_action.model.run import Run
from dt_action.options import Settings
from dt_action.providers import telemetry


def tell_others(run: Run, settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Tell them of a run without secrets, and say in words what went wrong."""
    if settings.notify:
        from dt_action.providers.notifications import notify

        yield from notify(run, settings.notify, when=settings.notify_on)
    if telemetry.is_wanted(environ):
        yield from telemetry.export(run, environ)

"""No CI service, or one that is not known: nothing is published but the documents, which are written already."""

from __future__ import annotations

from collections.abc import Sequence

from dt_action.model.build import Build
from dt_action.model.report import Publication
from dt_action.model.run import Run
from dt_action.providers.settings import Settings


class Generic:
    """The Provider for a laptop, `docker run` and every other CI service."""

    name = "generic"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def build(self) -> Build:
        """Nothing is known of the build but what the user said."""
        return Build(provider=self.name, environment=self._settings.environment)

    def publish(self, run: Run, publication: Publication) -> Sequence[str]:
        """Nothing to show, so nothing is refused."""
        return ()

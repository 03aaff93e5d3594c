"""A history that somebody else keeps, such as a coordinator: asked for as a whole, and told one run at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dt_action.errors import DtError
from dt_action.history.codec import decode, encode
from dt_action.history.past import KnownPast
from dt_action.history.records import RunRecord, merged, records_of
from dt_action.history.stores import Warn, warn_by_default
from dt_action.model.run import Run


@dataclass(frozen=True, slots=True)
class RemoteHistory:
    """
    `fetch` gives everything in as many pieces as it is kept in, `add` takes a piece; both raise DtError.

    `where` names the keeper, for warnings.
    """

    where: str
    fetch: Callable[[], list[bytes]]
    add: Callable[[bytes], None]
    warn: Warn = warn_by_default

    def load(self, environment: str = "") -> KnownPast:
        """See `ports.History`."""
        known: list[tuple[RunRecord, ...]] = []
        try:
            known = [decode(piece) for piece in self.fetch()]
        except DtError as error:
            self.warn(f"the history at {self.where} is left out of account: {error}")
        return KnownPast(merged(*known), environment)

    def record(self, run: Run, recorded: str = "") -> None:
        """See `ports.History`."""
        try:
            self.add(encode(records_of(run, recorded)))
        except DtError as error:
            self.warn(f"the history could not be kept at {self.where}: {error}")

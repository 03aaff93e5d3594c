"""The kinds of values in messages: what is too long is cut or refused, as the field says."""

from __future__ import annotations

from typing import Annotated

from dt_action.model.json_codec import Bound, Cut

MAX_TEXT = 1 << 20
"""So many characters of a text are taken in; ids made of long parameters are names of some thousands."""

Name = Annotated[str, Bound(f"1 to {MAX_TEXT:,} characters", lambda text: 0 < len(text) <= MAX_TEXT)]
Text = Annotated[str, Cut(MAX_TEXT)]
Seconds = Annotated[float, Bound("0 or more seconds", lambda number: number >= 0)]
Count = Annotated[int, Bound("a count from 0", lambda number: 0 <= number < 1 << 53)]

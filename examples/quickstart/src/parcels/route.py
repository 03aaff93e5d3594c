"""The way of a parcel through the depots."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

Network = Mapping[str, Sequence[str]]


def route(network: Network, start: str, end: str) -> list[str]:
    """The depots from `start` to `end` with the fewest hops. Raises LookupError where there is no way."""
    came_from: dict[str, str] = {start: ""}
    waiting = deque([start])
    while waiting:
        depot = waiting.popleft()
        if depot == end:
            return _back(came_from, end)
        for neighbour in network.get(depot, ()):
            if neighbour not in came_from:
                came_from[neighbour] = depot
                waiting.append(neighbour)
    raise LookupError(f"no way from {start} to {end}")


def _back(came_from: Mapping[str, str], end: str) -> list[str]:
    depots = [end]
    while came_from[depots[-1]]:
        depots.append(came_from[depots[-1]])
    return depots[::-1]

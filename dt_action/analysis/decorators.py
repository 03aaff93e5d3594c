"""Decorators and marks that are judged by their name, since their definition is out of reach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from dt_action.analysis import names
from dt_action.analysis.phrases import Demand, devices_among
from dt_action.analysis.values import Gate, Mark, Value

if TYPE_CHECKING:
    from dt_action.analysis.execution import Executor


def by_name(
    executor: Executor, name: str, args: Sequence[Value], kwargs: Mapping[str, Value], path: str, line: int
) -> Mark | None:
    """
    The mark that a known decorator makes, None for any other name.

    Rule `known-decorator`. Before: `@RunIf(min_cuda_gpus=2)`. After: the test requires two cuda devices. A row of the
    vocabulary comes first, then the words of the name: `@skip_on_devices("tpu")` excludes what it names.
    """
    word = name.rpartition(".")[2]
    demands = executor.interpreter.vocabulary.gate(name)
    if demands is None:
        demands = named(word, args)
    if demands is None:
        return None
    return closed(executor, demands, args, kwargs, path, line, "known-decorator", word)


def named(word: str, args: Sequence[Value] = ()) -> tuple[Demand, ...] | None:
    """What the words of a decorator's name say, with the devices among its arguments; None where they do not say."""
    is_negative = names.polarity_of(word)
    if is_negative is not None and args:
        devices = devices_among(args)
        if devices is not None:
            return (Demand(devices, is_negative),)
    demand = names.gate_of_decorator(word)
    return None if demand is None else (demand,)


def closed(
    executor: Executor,
    demands: Iterable[Demand],
    args: Sequence[Value],
    kwargs: Mapping[str, Value],
    path: str,
    line: int,
    rule: str,
    word: str,
) -> Mark:
    """The mark with the gates of `demands` that are closed here."""
    gates: list[Gate] = []
    with executor.world.noting() as seen:
        for part, demand in enumerate(demands):
            if demand.is_open(executor.world, args, kwargs) is False:
                gates.append(executor.gate(path, line, rule, part))
    return Mark(word, tuple(gates), seen.tells_makes, file=path, line=line)

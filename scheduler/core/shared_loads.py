"""What instances have to do, as columns: an aggregated instance is of both stages and has one load, which both show."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from typing import Any

from msgspec import Struct


class Loads(Struct, frozen=True):
    """Of one stage, by instance index: requests that were sent and have not left, and their tokens.

    No lists by their type: compiled code writes to a list past its `__setitem__`, and would share nothing.
    """

    requests: MutableSequence[int]
    tokens: MutableSequence[int]


class _SharedColumn(list[int]):
    """A column some of whose entries are entries of another column, too: what is written here stands there.

    A list, so that reading costs what it costs without.
    """

    def __init__(self, num_entries: int) -> None:
        super().__init__([0] * num_entries)
        self._other: list[int] = self
        self._places: Mapping[int, int] = {}

    def share(self, other: list[int], places: Mapping[int, int]) -> None:
        """Entry i of this column is from now on entry `places[i]` of the other, where it has one."""
        self._other, self._places = other, places

    def __setitem__(self, index: Any, value: Any) -> None:
        list[int].__setitem__(self, index, value)
        place = self._places.get(index)
        if place is not None:
            list[int].__setitem__(self._other, place, value)


def no_loads(num_instances: int) -> Loads:
    """Nobody has anything to do."""
    return Loads([0] * num_instances, [0] * num_instances)


def loads_of(prefill: Sequence[str], decode: Sequence[str]) -> tuple[Loads, Loads]:
    """Of the two stages, whose instances have these addresses; nobody has anything to do."""
    at_decode = {address: index for index, address in enumerate(decode)}
    places = {index: at_decode[address] for index, address in enumerate(prefill) if address in at_decode}
    if not places:
        return no_loads(len(prefill)), no_loads(len(decode))
    back = {place: index for index, place in places.items()}
    columns: list[tuple[_SharedColumn, _SharedColumn]] = []
    for _ in range(2):
        one, other = _SharedColumn(len(prefill)), _SharedColumn(len(decode))
        one.share(other, places)
        other.share(one, back)
        columns.append((one, other))
    (requests, other_requests), (tokens, other_tokens) = columns
    return Loads(requests, tokens), Loads(other_requests, other_tokens)

"""Arithmetic that several families share; ties go to the lowest index unless a family says otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter, itemgetter
from typing import Any, Final

from scheduler.policies.undeclared import Refusal, entries_of
from scheduler.policies.view import Columns, RequestView, StageView


def lowest(scores: Sequence[float]) -> int:
    """Index of the first smallest."""
    return scores.index(min(scores))


def highest(scores: Sequence[float]) -> int:
    """Index of the first largest."""
    return scores.index(max(scores))


def at_hand_tokens(request: RequestView) -> list[int]:
    """Prompt tokens that need no computing, by instance: from the pool or from the instance's own cache."""
    cached = request.cached_tokens
    return [held if held > cached else cached for held in request.held_tokens]


def waiting_requests(stage: StageView) -> list[int]:
    """Requests sent and not yet running, by instance; counted here, less those running as last reported."""
    pairs = zip(stage.outstanding_requests, stage.running_requests)
    return [max(0, outstanding - running) for outstanding, running in pairs]


def kv_usages(stage: StageView) -> list[float]:
    """Share of each instance's KV memory that is used, as last reported; 0 where the capacity is not known."""
    pairs = zip(stage.kv_tokens, stage.kv_capacity_tokens)
    return [used / capacity if capacity else 0.0 for used, capacity in pairs]


_NAMES: Final = [field.name for field in fields(Columns)]
_ALL_OF: Final = attrgetter(*_NAMES)
_REGISTERED: Final = frozenset({"kv_capacity_tokens", "supernodes"})
"""Columns that stay as the instances registered."""


def only(stage: StageView, members: Sequence[int]) -> Columns:
    """The columns of these instances, by their place among them."""
    return Columns(*[entries_of(column, members) for column in _ALL_OF(stage)])


class Selection:
    """The columns of some instances, as live as the router asks for: `take` copies those that change into the same
    lists again."""

    def __init__(self, stage: StageView, members: Sequence[int]) -> None:
        first, last = members[0], members[-1]
        is_run = list(members) == list(range(first, last + 1))
        self._entries = itemgetter(slice(first, last + 1)) if is_run else itemgetter(*members)
        self._copies: list[tuple[list[Any], Any]] = []
        self._columns = Columns(
            *[self._copied(name, column) for name, column in zip(_NAMES, _ALL_OF(stage), strict=True)]
        )

    def _copied(self, name: str, column: Any) -> Any:
        if isinstance(column, Refusal) or not column:
            return column
        copy = list(self._entries(column))
        if name not in _REGISTERED:
            self._copies.append((copy, column))
        return copy

    def take(self) -> Columns:
        """As they are now; the same object each time."""
        entries = self._entries
        for copy, column in self._copies:
            copy[:] = entries(column)
        return self._columns


def only_of(request: RequestView, members: Sequence[int]) -> RequestView:
    """The same request with entries for these instances only."""
    return RequestView(
        request.now_ns,
        request.num_tokens,
        request.total_tokens,
        request.cached_tokens,
        request.blocks,
        request.tenant,
        request.block_tokens,
        entries_of(request.held_tokens, members),
        entries_of(request.backlog_ns, members),
        entries_of(request.work_ns, members),
        request.num_samples,
    )

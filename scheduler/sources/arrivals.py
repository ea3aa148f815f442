"""What every reader and generator yields: requests as column blocks in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.protocol.messages import NO_ANSWER

BLOCK_ROWS: Final = 2048
"""Rows a reader gathers before it yields; memory stays flat and per-block costs vanish at this size."""

BLOCK_TOKENS: Final = 512
"""Prompt tokens that one prefix id stands for: the unit of the public traces (kvcache-ai/Mooncake FAST'25 release)."""


@dataclass(slots=True)
class ArrivalBlock:
    """Up to a few thousand requests as parallel columns, in time order within and across blocks.

    `arrived_ns` counts from the trace's first request, which is at 0. `prefixes[i]` lists the ids of consecutive
    blocks of `Trace.block_tokens` prompt tokens (the last may be partial), empty when the trace has none: equal ids of
    one tenant have equal prefixes and lengths. `tenants[i]` is who asks, as the trace says or as a superposed copy:
    tenants share no KV. `classes[i]` names the class that a request asks for, empty for none; the list is empty if none
    of the block asks for any. `answers[i]` is the id of the block in which the answer begins where a later prompt
    repeats it, as in `RequestsArrived`; the list is empty if nothing is known of any.
    """

    arrived_ns: Final[list[int]]
    prompt_tokens: Final[list[int]]
    output_tokens: Final[list[int]]
    prefixes: Final[list[list[int]]]
    tenants: Final[list[int]]
    classes: Final[list[str]] = field(default_factory=list[str])
    answers: Final[list[int]] = field(default_factory=list[int])

    def __len__(self) -> int:
        return len(self.arrived_ns)

    def extend(self, later: ArrivalBlock) -> None:
        """Add the rows of the block that comes after this one."""
        if self.classes or later.classes:
            self.classes[:] = [*self.class_names, *later.class_names]
        if self.answers or later.answers:
            self.answers[:] = [*self.answer_blocks, *later.answer_blocks]
        for column, more in zip(self._columns, later._columns):
            column.extend(more)

    def part(self, rows: slice) -> ArrivalBlock:
        """These rows as a block of their own."""
        columns: list[list[Any]] = [*self._columns, self.classes, self.answers]
        return ArrivalBlock(*[column[rows] for column in columns])

    def chosen(self, rows: Sequence[int]) -> ArrivalBlock:
        """These rows, by their numbers, as a block of their own."""
        columns: list[list[Any]] = [*self._columns, self.classes, self.answers]
        return ArrivalBlock(*[[column[row] for row in rows] if column else [] for column in columns])

    @property
    def _columns(self) -> tuple[list[Any], ...]:
        """All columns that are as long as the block."""
        return (self.arrived_ns, self.prompt_tokens, self.output_tokens, self.prefixes, self.tenants)

    @property
    def class_names(self) -> list[str]:
        """As long as the other columns, whether any asks for a class or none."""
        return self.classes or [""] * len(self)

    @property
    def answer_blocks(self) -> list[int]:
        """As long as the other columns, whether anything is known of an answer or not."""
        return self.answers or [NO_ANSWER] * len(self)


@dataclass(slots=True)
class Trace:
    """An opened trace: what is known before the first row, and the rows as a stream read once."""

    name: Final[str]
    block_tokens: Final[int]
    num_requests_hint: Final[int | None]
    blocks: Final[Iterator[ArrivalBlock]]

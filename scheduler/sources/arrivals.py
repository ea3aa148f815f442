"""What every reader and generator yields: requests as column blocks in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct, field

from scheduler.protocol.messages import NO_ANSWER

BLOCK_ROWS: Final = 2048
"""Rows a reader gathers before it yields; memory stays flat and per-block costs vanish at this size."""

BLOCK_TOKENS: Final = 512
"""Prompt tokens that one prefix id stands for: the unit of the public traces (kvcache-ai/Mooncake FAST'25 release)."""


RowKey = str | int | None
"""What others call a row that they wait for; None for one that nobody waits for."""

DELAY_NOT_GIVEN: Final = -1
"""In place of a delay: the time that passes between two rows is that of the trace."""


class Links(Struct, frozen=True):
    """What each row of a block waits for, as columns as long as the block.

    `sessions` number conversations or tasks over the whole trace, `NO_SESSION` for a row of none. `keys` are what
    others call a row. `waits_for`: those whose ends a row waits for, and None where it is the row before of its
    session. The row comes `delays_ns` after the last of these ends. `lines` are places in the file, 0 where there is
    none. `resets`: whether a row's context begins anew, so that it may be shorter than that of the rows before.
    """

    sessions: list[int] = field(default_factory=list[int])
    keys: list[RowKey] = field(default_factory=list[RowKey])
    waits_for: list[list[RowKey] | None] = field(default_factory=list[list[RowKey] | None])
    delays_ns: list[int] = field(default_factory=list[int])
    lines: list[int] = field(default_factory=list[int])
    resets: list[bool] = field(default_factory=list[bool])

    def extend(self, later: Links) -> None:
        """Add the rows of the block that comes after this one."""
        for column, more in zip(self._columns, later._columns):
            column.extend(more)

    def chosen(self, rows: Sequence[int]) -> Links:
        """These rows, by their numbers."""
        return Links(*[[column[row] for row in rows] for column in self._columns])

    @property
    def _columns(self) -> tuple[list[Any], ...]:
        return (self.sessions, self.keys, self.waits_for, self.delays_ns, self.lines, self.resets)


class ArrivalBlock(Struct):
    """Up to a few thousand requests as parallel columns, in time order within and across blocks.

    `arrived_ns` counts from the trace's first request, which is at 0. `prefixes[i]` lists the ids of consecutive
    blocks of `Trace.block_tokens` prompt tokens (the last may be partial), empty when the trace has none: equal ids of
    one tenant have equal prefixes and lengths. `tenants[i]` is who asks, as the trace says or as a superposed copy:
    tenants share no KV. `classes[i]` names the class that a request asks for, empty for none; the list is empty if none
    of the block asks for any. `answers[i]` is the id of the block in which the answer begins where a later prompt
    repeats it, as in `RequestsArrived`; the list is empty if nothing is known of any. `links`: what rows wait for,
    where that was asked for and the trace says so.
    """

    arrived_ns: Final[list[int]]
    prompt_tokens: Final[list[int]]
    output_tokens: Final[list[int]]
    prefixes: Final[list[list[int]]]
    tenants: Final[list[int]]
    classes: Final[list[str]] = field(default_factory=list[str])
    answers: Final[list[int]] = field(default_factory=list[int])
    links: Links | None = None

    def __len__(self) -> int:
        return len(self.arrived_ns)

    def extend(self, later: ArrivalBlock) -> None:
        """Add the rows of the block that comes after this one."""
        if self.classes or later.classes:
            self.classes.extend(() if self.classes else self.class_names)
            self.classes.extend(later.class_names)
        if self.answers or later.answers:
            self.answers.extend(() if self.answers else self.answer_blocks)
            self.answers.extend(later.answer_blocks)
        if self.links is not None and later.links is not None:
            self.links.extend(later.links)
        for column, more in zip(self._columns, later._columns):
            column.extend(more)

    def part(self, rows: slice) -> ArrivalBlock:
        """These rows as a block of their own."""
        columns: list[list[Any]] = [*self._columns, self.classes, self.answers]
        links = None if self.links is None else self.links.chosen(range(*rows.indices(len(self))))
        return ArrivalBlock(*[column[rows] for column in columns], links=links)

    def chosen(self, rows: Sequence[int]) -> ArrivalBlock:
        """These rows, by their numbers, as a block of their own."""
        columns: list[list[Any]] = [*self._columns, self.classes, self.answers]
        links = None if self.links is None else self.links.chosen(rows)
        return ArrivalBlock(*[[column[row] for row in rows] if column else [] for column in columns], links=links)

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


class Trace(Struct, frozen=True):
    """An opened trace: what is known before the first row, and the rows as a stream read once."""

    name: str
    block_tokens: int
    num_requests_hint: int | None
    blocks: Iterator[ArrivalBlock]

    @property
    def place(self) -> str:
        """What errors on its rows begin with."""
        return self.name

"""Rows made ahead as columns, handed out in the order of their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Self, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import astuple

from scheduler.sources.arrivals import BLOCK_ROWS

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

MIN_MADE: Final = 256
"""Sessions or tasks made at once, at least."""


class TimedColumns(Struct, frozen=True):
    """Arrays of one length, one of them the times of the rows."""

    times_ns: Integers

    def __len__(self) -> int:
        return len(self.times_ns)

    def take(self, rows: Integers | slice) -> Self:
        """Some of the rows."""
        return type(self)(*(column[rows] for column in astuple(self)))

    def join(self, others: Self) -> Self:
        """These rows, then the others."""
        return type(self)(*map(np.concatenate, zip(astuple(self), astuple(others), strict=True)))


Columns = TypeVar("Columns", bound=TimedColumns)


def in_time_order(make: Callable[[int], tuple[int | None, Columns]]) -> Iterator[Columns]:
    """Rows of all that is made, some thousand at a time; memory holds those that are made and not due.

    `make` is asked for so many sessions or tasks. It returns a time before which none of those still to come has a row,
    or None if none comes, and all rows of those that it made, in any order.
    """
    waiting: Columns | None = None
    until_ns: int | None = 0
    while until_ns is not None:
        # In proportion to what waits, so that sorting it again costs each row the same however many wait.
        until_ns, rows = make(max(MIN_MADE, (0 if waiting is None else len(waiting)) // 4))
        rows = rows if waiting is None else waiting.join(rows)
        rows = rows.take(np.argsort(rows.times_ns, kind="stable"))
        num_due = len(rows) if until_ns is None else int(np.searchsorted(rows.times_ns, until_ns, side="left"))
        waiting = rows.take(slice(num_due, None))
        for start in range(0, num_due, BLOCK_ROWS):
            yield rows.take(slice(start, min(start + BLOCK_ROWS, num_due)))


def is_last_of_run(values: Integers) -> Booleans:
    """Of each entry, whether it is the last of its run of equal values."""
    return np.append(values[1:] != values[:-1], np.ones(min(1, len(values)), np.bool_))


def sum_before(values: Integers, firsts: Integers) -> Integers:
    """For each entry the sum over earlier entries of its run; `firsts` is the index of its run's first."""
    before = np.cumsum(values) - values
    return before - before[firsts]


def runs_of(lengths: Integers) -> tuple[Integers, Integers]:
    """For runs of these lengths, one after another: of each entry the number of its run, and the index of its first."""
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    return numbers, np.repeat(np.cumsum(lengths) - lengths, lengths)

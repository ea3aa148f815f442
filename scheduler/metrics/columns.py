"""Types of columns, and how `array` columns become numpy's."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

# Of one dimension, unless a docstring gives another shape.
Ints: TypeAlias = npt.NDArray[np.integer[Any]]
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Rows: TypeAlias = npt.NDArray[np.void]
"""A structured array: one row per logged report."""

NS_PER_S: Final = 1e9
PART_ROWS: Final = 1 << 17
"""Rows that are worked on at once: their temporaries stay in a cache and add little to the memory of a long run."""


def parts(num_rows: int, size: int = PART_ROWS) -> Iterator[slice]:
    """Consecutive slices that cover all rows."""
    for begin in range(0, num_rows, size):
        yield slice(begin, min(begin + size, num_rows))


def view(column: array[int] | bytearray, num_rows: int) -> Ints:
    """The first rows of a column, shape (num_rows,), without a copy; while the view lives the column cannot grow."""
    dtype = np.uint8 if isinstance(column, bytearray) else np.dtype(column.typecode)
    return np.frombuffer(column, dtype)[:num_rows]


def ratio(amount: float, of: float) -> float | None:
    """`amount / of`, None where there is nothing to divide by."""
    return amount / of if of else None


def seconds_between(begin_ns: Ints, end_ns: Ints, is_defined: Bools) -> Floats:
    """`end_ns - begin_ns` in seconds, NaN where it is not defined; all of shape (num_requests,)."""
    seconds = np.full(len(begin_ns), np.nan)
    np.divide(end_ns - begin_ns, NS_PER_S, out=seconds, where=is_defined)
    return seconds

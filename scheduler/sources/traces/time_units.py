"""How a trace writes the time of a request, and how that becomes nanoseconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """`read`: nanoseconds of one cell, a `ValueError` with the reason for any that is no time. `fix`: what to give.

    `read_all`: of many cells, None if any is not plainly good; equal to `read` of each. `is_wall_time`: nanoseconds
    count from 1970, and not from some zero of the trace.
    """

    read: Callable[[str], int]
    read_all: Callable[[list[str]], list[int] | None]
    fix: str
    is_wall_time: bool = False


def decimal_unit(name: str, ns_per_unit: int, max_digits: int) -> TimeUnit:
    """Decimal numbers of a unit that is a power of ten nanoseconds, exact; what is below a nanosecond is dropped.

    At most `max_digits` before the point, so that nanoseconds fit in 63 bits.
    """
    num_decimals = len(str(ns_per_unit)) - 1

    def read(text: str) -> int:
        whole, point, fraction = text.partition(".")
        if not (text.isascii() and whole.isdecimal() and len(whole) <= max_digits):
            raise ValueError(f"is not a number of {name}")
        if point and not fraction.isdecimal():
            raise ValueError(f"is not a number of {name}")
        return int(whole) * ns_per_unit + int(fraction[:num_decimals].ljust(num_decimals, "0"))

    def read_all(cells: list[str]) -> list[int] | None:
        text = "".join(cells)
        if text.isascii() and text.isdecimal() and min(map(len, cells)) and max(map(len, cells)) <= max_digits:
            return [int(cell) * ns_per_unit for cell in cells]
        try:
            return list(map(read, cells))
        except ValueError:
            return None

    return TimeUnit(read, read_all, f"give {name} such as 45 or 45.5, at most {max_digits} digits before the point")


SECONDS: Final = decimal_unit("seconds", NS_PER_S, 9)
"""Of at most nine digits: 31 years."""

"""How a trace writes the time of a request, and how that becomes nanoseconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

NS_PER_S: Final = 1_000_000_000

MAX_TIME_NS: Final = 4 * 10**18
"""Times since 1970 fit (until the year 2096), and nanoseconds fit in 62 bits."""

MAX_DECIMALS: Final = 30
"""Of a number of any unit; what stands behind them is far below a nanosecond."""

_DECIMAL: Final = re.compile(r"(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)


class TimeUnit(Struct, frozen=True):
    """`read`: nanoseconds of one cell, a `ValueError` with the reason for any that is no time. `fix`: what to give.

    `read_all`: of many cells, None if any is not plainly good; equal to `read` of each. `is_wall_time`: nanoseconds
    count from 1970, and not from some zero of the trace. `name`: as `--time-unit` and `describe` say it. `is_whole`:
    times of this unit have no decimals, so that some hint at another unit. `ns_per_unit`: 0 for wall times, whose
    grid is the second.
    """

    read: Callable[[str], int]
    read_all: Callable[[list[str]], list[int] | None]
    fix: str
    is_wall_time: bool = False
    name: str = ""
    ns_per_unit: int = 0
    is_whole: bool = False

    @property
    def grid_ns(self) -> int:
        """Within how much time requests of one stamp came, as far as the unit tells."""
        return self.ns_per_unit or NS_PER_S


def decimal_unit(
    name: str, ns_per_unit: int, max_digits: int, *, short_name: str = "", is_whole: bool = False
) -> TimeUnit:
    """Decimal numbers of a unit that is a power of ten nanoseconds, exact, rounded to whole nanoseconds.

    At most `max_digits` before the point, so that nanoseconds fit in 62 bits. Exponents, which programs write for small
    numbers, are understood.
    """
    num_decimals = len(str(ns_per_unit)) - 1

    def read(text: str) -> int:
        match = _DECIMAL.fullmatch(text)
        if match is None or len(match[1]) > max_digits:
            raise ValueError(f"is not a number of {name}")
        whole, fraction, exponent = match[1], (match[2] or "")[:MAX_DECIMALS], int(match[3] or 0)
        shift = num_decimals - len(fraction) + exponent
        digits = int(whole + fraction)
        time_ns = digits * 10**shift if shift >= 0 else (digits + 10**-shift // 2) // 10**-shift
        if time_ns > MAX_TIME_NS:
            raise ValueError(f"is not a number of {name}")
        return time_ns

    def read_all(cells: list[str]) -> list[int] | None:
        text = "".join(cells)
        if text.isascii() and text.isdecimal() and min(map(len, cells)) and max(map(len, cells)) <= max_digits:
            times_ns = [int(cell) * ns_per_unit for cell in cells]
            return times_ns if max(times_ns) <= MAX_TIME_NS else None
        try:
            return list(map(read, cells))
        except ValueError:
            return None

    fix = f"give {name} such as 45 or 45.5, at most {max_digits} digits before the point"
    if short_name:
        fix += ", or name the unit that the times have by --time-unit"
    return TimeUnit(read, read_all, fix, name=short_name or name, ns_per_unit=ns_per_unit, is_whole=is_whole)


SECONDS: Final = decimal_unit("seconds", NS_PER_S, 10, short_name="s")
MILLISECONDS: Final = decimal_unit("milliseconds", 1_000_000, 13, short_name="ms")
MICROSECONDS: Final = decimal_unit("microseconds", 1_000, 16, short_name="us")
NANOSECONDS: Final = decimal_unit("nanoseconds", 1, 19, short_name="ns")

WHOLE_MILLISECONDS: Final = decimal_unit("milliseconds", 1_000_000, 13, short_name="ms", is_whole=True)
"""Of formats that have whole milliseconds: decimals are more likely to be seconds."""

DECIMAL_UNITS: Final = {"s": SECONDS, "ms": MILLISECONDS, "us": MICROSECONDS, "ns": NANOSECONDS}
"""By the name that `--time-unit` takes; and there is wall time."""

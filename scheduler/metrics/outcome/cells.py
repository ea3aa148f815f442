"""Numbers as cells for people: few digits, a unit that fits, and a dash for what is not known."""

from __future__ import annotations

import math
from typing import Final

NOTHING: Final = "-"
SMALL_RATE: Final = 0.1
TINY_RATE: Final = 1e-6
_SI_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_TIME_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def digits(number: float) -> str:
    """Three digits that matter, or all before the point, in groups of three."""
    if number >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def count_cell(number: int) -> str:
    """All digits, in groups of three."""
    return f"{number:,}"


def rate_cell(number: float | None) -> str:
    """A small one has as many zeros as it takes to show three digits: requests may come once in an hour."""
    if number is None:
        return NOTHING
    if 0 < number < SMALL_RATE:
        return f"{number:.{2 - math.floor(math.log10(number))}f}" if number > TINY_RATE else f"{number:.3g}"
    return digits(number)


def percent_cell(share: float | None) -> str:
    """Of a share of 1."""
    if share is None:
        return NOTHING
    return "< 0.01 %" if 0 < share < 1e-4 else f"{digits(100 * share)} %"


def si_cell(number: float | None, unit: str) -> str:
    """With the prefix that leaves one to three digits before the point."""
    if number is None:
        return NOTHING
    power, rest = 0, float(number)
    while rest >= 999.5 and power < len(_SI_PREFIXES) - 1:
        power, rest = power + 1, rest / 1000
    return f"{digits(rest)} {_SI_PREFIXES[power]}{unit}" if rest else f"0 {unit}"


def seconds_cell(seconds: float | None) -> str:
    """In minutes and hours from a minute on, below that in the unit that leaves one to three digits."""
    if seconds is None:
        return NOTHING
    if seconds >= 60:
        minutes, rest = divmod(int(seconds), 60)
        return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
    for unit_s, name in _TIME_UNITS:
        if seconds >= 0.9995 * unit_s:
            return f"{digits(seconds / unit_s)} {name}"
    return f"{seconds:.3g} s"

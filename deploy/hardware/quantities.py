"""Numbers with units as people read them, and plain tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sim_hw.figure import Figure

_PREFIXES: Final = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL_PREFIXES: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"))
_SI_UNITS: Final = ("B", "B/s", "FLOP", "FLOP/s", "W", "J")
DIGITS: Final = 4


def quantity(value: float, unit: str) -> str:
    """A value in the prefix that suits it; a unit that is not SI is what was counted and is left to the label."""
    if unit == "USD":
        return f"${_scaled(value, _PREFIXES)}".rstrip()
    if unit == "s":
        return f"{_scaled(value, _SMALL_PREFIXES)}s"
    if unit == "tok/s":
        return f"{value:,.0f} tok/s" if value >= 100 else f"{value:.3g} tok/s"
    if unit in _SI_UNITS:
        return f"{_scaled(value, _PREFIXES)}{unit}"
    return count(value)


def figure(one: Figure) -> str:
    """The value of a figure with its unit."""
    return quantity(one.value, one.unit)


def count(value: float) -> str:
    """A number of things, or a share, without a unit."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.{DIGITS}g}"


def _scaled(value: float, prefixes: Sequence[tuple[float, str]]) -> str:
    # As little as rounding may lift a number to the next prefix: 999,960 is 1 M with four digits.
    rounded = float(f"{value:.{DIGITS}g}")
    factor, prefix = next(((one, name) for one, name in prefixes if rounded >= one), prefixes[-1])
    digits = f"{rounded / factor:.{DIGITS}g}"
    return f"{digits} {prefix}"

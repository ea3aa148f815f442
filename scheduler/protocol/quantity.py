"""Numbers with units as people write them, one reading for settings, flags and files: 512GB, 300KW, 0.5min, 8.2M.

The number may have a sign, a point and an exponent. What follows is a prefix and the unit, or either alone:

- k or K, M, G, T, P are factors of a thousand; Ki, Mi, Gi, Ti, Pi of 1,024. All else is read as it is cased: m is no
  M, since it may stand for a thousandth as well, and b is no B, since it stands for bits.
- Times are in us, ms, s, min, h or d. A plain m is refused: it may be minutes as well as thousandths.
- Where a quantity has no unit, such as tokens or dollars, prefixes stand alone: 20k, 8.2M.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import ConfigError

_NUMBER: Final = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*([^\d\s][^\s]*)?\s*", re.ASCII)

MAX_VALUE: Final = 1e280
"""Of the number before its suffix."""

_DECIMAL: Final = {"": 0, "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15}
"""Powers of ten."""
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
"""Powers of two."""
_TIMES_US: Final = {"us": 1, "ms": 10**3, "s": 10**6, "min": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}
"""Microseconds."""

_ENDINGS: Final[Mapping[str, str]] = {
    "bytes_per_s": "B/s",
    "per_s": "",
    "bytes": "B",
    "bytes_per_server": "B",
    "w": "W",
    "s": "s",
    "ttl": "s",
    "ms": "ms",
    "usd": "USD",
    "hour": "h",
}
"""Unit by the last words of a name; other names count things."""


class QuantityError(ConfigError, ValueError):
    """What cannot be read as a number in that unit: the text, and a hint where one is at hand."""


def unit_of(name: str) -> str:
    """The unit of a value by the last words of its name, as all names here have it; empty where it counts things."""
    matching = [ending for ending in _ENDINGS if f"_{name}".endswith(f"_{ending}")]
    return _ENDINGS[max(matching, key=len)] if matching else ""


def read_quantity(text: str, unit: str = "", *, needs_unit: bool = False) -> float:
    """The number that `text` gives in `unit`: B, B/s, W, FLOP/s, USD, s, ms, h or, empty, things.

    With `needs_unit` a number alone is refused. Raises `QuantityError`, which says how to write it.
    """
    match = _NUMBER.fullmatch(text)
    number = float(match[1]) if match else float("nan")
    if match is None or not abs(number) <= MAX_VALUE:
        raise QuantityError(f"cannot read {shorten(text)}; {_form(unit)}")
    suffix = match[2] or ""
    if not suffix:
        if needs_unit and unit:
            raise QuantityError(f"cannot read {shorten(text)}, which has no unit; {_form(unit)}")
        return number
    factor = _factor(suffix, unit)
    if factor is None:
        raise QuantityError(f"cannot read {shorten(text)}; {_hint(suffix, unit) or _form(unit)}")
    # Exact, and rounded once: 50ms is the same float as 0.05, 8.2M the same as 8200000.
    return float(Fraction(match[1]) * factor)


def read_count(text: str) -> int:
    """A whole number of things, such as 20k. Raises `QuantityError`."""
    number = read_quantity(text)
    if number != int(number):
        raise QuantityError(f"cannot read {shorten(text)} as a whole number; give one such as 20k")
    return int(number)


def _factor(suffix: str, unit: str) -> Fraction | None:
    """What a number before that suffix is multiplied by; None if it is no suffix of that unit."""
    if unit in _TIMES_US:
        us = _TIMES_US.get(suffix)
        return None if us is None else Fraction(us, _TIMES_US[unit])
    prefix = suffix.removesuffix(unit) if unit else suffix
    if unit and prefix == suffix and unit != "USD":  # 8.2M means as much as 8.2MUSD
        return None
    if prefix in _DECIMAL:
        return Fraction(10 ** _DECIMAL[prefix])
    return Fraction(2 ** _BINARY[prefix]) if prefix in _BINARY else None


def _hint(suffix: str, unit: str) -> str:
    """What was probably meant."""
    is_time = unit in _TIMES_US
    if suffix == "m":
        return "m may be minutes or thousandths: write min or ms" if is_time else "write M for a million"
    if unit.startswith("B") and "b" in suffix and "B" not in suffix:
        return "b stands for bits: write B for bytes, such as 1GB for 8 Gb"
    meant = list(_TIMES_US) if is_time else _suffixes(unit)
    near = [one for one in meant if one.lower() == suffix.lower()]
    return f"write {near[0]}, in that case of letters" if near else ""


def _suffixes(unit: str) -> list[str]:
    return [f"{prefix}{unit}" for prefix in (*_DECIMAL, *_BINARY)]


def _form(unit: str) -> str:
    forms = {
        "s": "write a time such as 30s, 50ms or 0.5min",
        "ms": "write a time such as 50ms or 0.5s",
        "h": "write hours of the day such as 8 or 8.5h",
        "W": "write watts such as 350kW",
        "B": "write bytes such as 512GB or 512e9",
        "B/s": "write a rate such as 50GB/s",
        "USD": "write dollars such as 8.2M",
        "FLOP/s": "write a rate such as 376TFLOP/s",
    }
    return forms.get(unit, "write a number such as 20000, 2e4 or 20k")

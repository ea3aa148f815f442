"""Values as people read them: one unit for a whole axis, three significant digits. Units go by Grafana's names."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SMALL_PREFIXES: Final = ((1e-3, "m"), (1e-6, "µ"))
_TIMES: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))

_SYMBOLS: Final = {
    "watt": "W",
    "joule": "J",
    "Bps": "B/s",
    "decbytes": "B",
    "reqps": "req/s",
    "short": "",
    "none": "",
}
_CUSTOM: Final = "si:"
_SUFFIX: Final = "suffix:"
_WITH_SMALL_PREFIXES: Final = frozenset({"watt", "joule"})
"""Of these a thousandth is said with a prefix; of a request or a token it is not."""


class Scale(Struct, frozen=True):
    """A value in the base unit by `divisor` is one in the unit that `suffix` names (which brings its space)."""

    divisor: float
    suffix: str


def scale(unit: str, largest: float) -> Scale:
    """The unit in which values up to `largest` (in the base unit) are read best. An unknown unit is shown as it is."""
    if unit == "s":
        divisor, symbol = next(
            (pair for pair in _TIMES if largest >= pair[0]), _TIMES[-1] if largest > 0 else _TIMES[0]
        )
        return Scale(divisor, f" {symbol}")
    if unit == "percentunit":
        return Scale(0.01, " %")
    if unit.startswith(_SUFFIX):
        return Scale(1.0, unit.removeprefix(_SUFFIX))
    symbol = unit.removeprefix(_CUSTOM) if unit.startswith(_CUSTOM) else _SYMBOLS.get(unit, unit)
    prefixes = _PREFIXES + (_SMALL_PREFIXES if unit in _WITH_SMALL_PREFIXES else ())
    divisor, prefix = next((pair for pair in prefixes if largest >= pair[0]), (1.0, ""))
    return Scale(divisor, f" {prefix}{symbol}".rstrip())


def shown(unit: str, value: float) -> str:
    """One value with its unit, such as `52.6 ms`."""
    fitting = scale(unit, abs(value))
    return f"{digits(value / fitting.divisor)}{fitting.suffix}"


def digits(value: float) -> str:
    """Three significant digits, without an exponent below a million."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"

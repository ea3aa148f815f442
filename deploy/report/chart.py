"""Charts as SVG: curves and stacked areas over one axis, drawn here, so that a page needs no library.

Colours are names of the style sheet's variables, so that they follow light and dark. All text is escaped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from deploy.dashboards.units import digits, scale, shown
from scheduler.metrics.columns import Floats

COLOURS: Final = ("a", "b", "c", "d", "e", "f")

WIDTH: Final = 560
HEIGHT: Final = 210
LEFT: Final = 52
RIGHT: Final = 12
TOP: Final = 8
BOTTOM: Final = 22

MAX_TICKS: Final = 6
MAX_DECADES_WITH_FIVES: Final = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """A series over the chart's x; NaN where there is nothing."""

    name: str
    values: Floats
    colour: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A vertical line, such as that of an SLO."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high`; by their logarithms if `is_log` (then `low` is above 0). `unit` as in `units`."""

    low: float
    high: float
    unit: str
    is_log: bool = False

    def share(self, values: Floats) -> Floats:
        """Where values lie, 0 at `low` and 1 at `high`."""
        if self.is_log:
            return np.log(np.maximum(values, self.low) / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Values and what stands beside them."""
        if self.is_log:
            return [(value, shown(self.unit, value)) for value in _log_ticks(self.low, self.high)]
        fitting = scale(self.unit, max(abs(self.low), abs(self.high)))
        step = _round_step((self.high - self.low) / fitting.divisor / MAX_TICKS)
        first = math.ceil(self.low / fitting.divisor / step - 1e-9)
        last = math.floor(self.high / fitting.divisor / step + 1e-9)
        return [
            (index * step * fitting.divisor, f"{digits(index * step)}{fitting.suffix if index else ''}")
            for index in range(first, last + 1)
        ]


def line_chart(
    title: str,
    about: str,
    x: Floats,
    curves: Sequence[Curve],
    x_axis: Axis,
    y_axis: Axis,
    *,
    is_stacked: bool = False,
    limits: Sequence[Limit] = (),
    wide: bool = False,
) -> str:
    """A figure with its legend. Stacked curves are areas on top of each other, from the first up."""
    width = 2 * WIDTH + 46 if wide else WIDTH
    place = _Place(x_axis, y_axis, width)
    drawn = _areas(place, x, curves) if is_stacked else _lines(place, x, curves)
    inside = place.axes() + drawn + "".join(place.limit(limit) for limit in limits)
    reader = f'<line class="reader" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
    read = {
        "x": [round(float(at), 1) for at in place.across(x)],
        "at": [shown(x_axis.unit, float(value)) for value in x],
        "series": [
            (curve.name, ["-" if math.isnan(v) else shown(y_axis.unit, v) for v in curve.values.tolist()])
            for curve in curves
        ],
    }
    data = escape(json.dumps(read, separators=(",", ":")), quote=True)
    names = [(curve.name, curve.colour) for curve in curves]
    return figure(
        title, about, f'<svg viewBox="0 0 {width} {HEIGHT}" role="img">{inside}{reader}</svg>', names, data, wide=wide
    )


def figure(
    title: str, about: str, svg: str, names: Sequence[tuple[str, str]] = (), data: str = "", *, wide: bool = False
) -> str:
    """A picture with title, explanation and legend (name, colour); `data` is JSON for the reader, escaped."""
    legend = "".join(
        f'<span><i class="block" style="background:var(--{colour})"></i>{escape(name)}</span>' for name, colour in names
    )
    return (
        f"<figure{' class=wide' if wide else ''}{f' data-read={chr(34)}{data}{chr(34)}' if data else ''}>"
        f"<h3>{escape(title)}</h3><figcaption>{escape(about)}</figcaption>{svg}"
        f"{f'<div class=legend>{legend}</div>' if len(names) > 1 else ''}</figure>"
    )


def top_of(values: Sequence[Floats]) -> float:
    """An upper end for an axis from 0 that all of these fit under."""
    highest = max((float(np.nanmax(column)) for column in values if not np.isnan(column).all()), default=0.0)
    return highest * 1.06 if highest > 0 else 1.0


class _Place:
    """Turns values into coordinates."""

    def __init__(self, x_axis: Axis, y_axis: Axis, width: int) -> None:
        self.x_axis = x_axis
        self.y_axis = y_axis
        self.width = width

    def across(self, values: Floats) -> Floats:
        return LEFT + self.x_axis.share(values) * (self.width - LEFT - RIGHT)

    def up(self, values: Floats) -> Floats:
        return HEIGHT - BOTTOM - self.y_axis.share(values) * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> str:
        parts: list[str] = []
        for value, text in self.y_axis.ticks():
            y = _one(self.up(np.array([value])))
            parts.append(
                f'<line class="grid-line" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{y}" y2="{y}"/>'
                f'<text x="{LEFT - 7}" y="{float(y) + 3.8:.1f}" text-anchor="end">{escape(text)}</text>'
            )
        for value, text in self.x_axis.ticks():
            x = _one(self.across(np.array([value])))
            parts.append(f'<text x="{x}" y="{HEIGHT - 5}" text-anchor="middle">{escape(text)}</text>')
            if self.x_axis.is_log:
                parts.append(f'<line class="grid-line" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        base = HEIGHT - BOTTOM
        return "".join(parts) + f'<line class="axis" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{base}" y2="{base}"/>'

    def limit(self, limit: Limit) -> str:
        x = float(_one(self.across(np.array([limit.at]))))
        if not LEFT <= x <= self.width - RIGHT:
            return ""
        anchor, shift = ("end", -5) if x > self.width / 2 else ("start", 5)
        return (
            f'<line class="limit" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="limit-name" x="{x + shift}" y="{HEIGHT - BOTTOM - 7}" text-anchor="{anchor}">'
            f"{escape(limit.name)}</text>"
        )


def _lines(place: _Place, x: Floats, curves: Sequence[Curve]) -> str:
    across = place.across(x)
    return "".join(
        f'<path class="line" stroke="var(--{curve.colour})" d="{_path(across, place.up(curve.values))}"/>'
        for curve in curves
    )


def _areas(place: _Place, x: Floats, curves: Sequence[Curve]) -> str:
    across, parts = place.across(x), list[str]()
    below = np.zeros(len(x))
    for curve in curves:
        above = below + np.nan_to_num(curve.values)
        there = _path(across, place.up(above))
        back = _path(across[::-1], place.up(below[::-1])).replace("M", "L", 1)
        parts.append(f'<path fill="var(--{curve.colour})" fill-opacity=".82" d="{there}{back}Z"/>')
        below = above
    return "".join(parts)


def _path(across: Floats, up: Floats) -> str:
    """Straight from point to point, broken where there is none."""
    parts: list[str] = []
    is_on = False
    for x, y in zip(across.tolist(), up.tolist(), strict=True):
        if math.isnan(y):
            is_on = False
            continue
        parts.append(f"{'L' if is_on else 'M'}{x:.1f} {y:.1f}")
        is_on = True
    return "".join(parts)


def _one(value: Floats) -> str:
    return f"{float(value[0]):.1f}"


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    decade = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next((digit * decade for digit in (1, 2, 5, 10) if digit * decade >= least * (1 - 1e-9)), decade)


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with 2 and 5 between them where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) - 1 <= MAX_DECADES_WITH_FIVES else (1,)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]

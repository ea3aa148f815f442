"""Curves and stacked areas over one axis, as figures on a card. Colours are names of the style sheet's variables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

import numpy as np
from msgspec import Struct

from deploy.pages.document import LIGHT_AND_DARK, card
from deploy.pages.plots import Figure, column, layout, log_axis
from deploy.pages.units import scale, shown
from scheduler.metrics.columns import Floats

COLOURS: Final = tuple(f"var(--{letter})" for letter in "abcdef")
LIMIT_COLOUR: Final = "var(--bad)"

HEIGHT_PX: Final = 220


class Curve(Struct, frozen=True):
    """A series over the chart's x; NaN where there is nothing."""

    name: str
    values: Floats
    colour: str


class Limit(Struct, frozen=True):
    """A vertical line, such as that of an SLO."""

    at: float
    name: str


class Axis:
    """Values from `low` to `high`; by their logarithms if `is_log` (then `low` is above 0). `unit` as in `units`."""

    def __init__(self, low: float, high: float, unit: str, *, is_log: bool = False) -> None:
        fitting = scale(unit, max(abs(low), abs(high)))
        self.divisor: Final = fitting.divisor
        """Figures hold values over it, and `suffix` names their unit."""
        self.suffix: Final = fitting.suffix
        ends = (low / self.divisor, high / self.divisor)
        scaling = (
            log_axis(*ends, lambda at: shown(unit, at * self.divisor)) if is_log else {"range": list(ends), "nticks": 7}
        )
        self.settings: Final[dict[str, Any]] = {**scaling, "ticksuffix": self.suffix, "hoverformat": ",.3~r"}
        self._is_log = is_log

    def of(self, values: Floats) -> list[float | None]:
        """What a figure holds of them."""
        return column(values.tolist(), self.divisor)

    def place(self, value: float) -> float:
        """Where an annotation lies; unlike a line, it is placed by the logarithm on a logarithmic axis."""
        return math.log10(value / self.divisor) if self._is_log else value / self.divisor


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
    """A card with its legend. Stacked curves are areas on top of each other, from the first up."""
    shared: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": x_axis.of(x)}
    shared |= {"stackgroup": "all"} if is_stacked else {}
    traces = [
        {
            **shared,
            "name": escape(curve.name),
            "y": y_axis.of(curve.values),
            "fillcolor": curve.colour,
            "line": {"color": curve.colour, "width": 0 if is_stacked else 1.8},
            "hovertemplate": f"%{{y:,.3~r}}{y_axis.suffix}",
        }
        for curve in curves
    ]
    more = {
        "hovermode": "x unified",
        "shapes": [_line(limit.at / x_axis.divisor) for limit in limits],
        "annotations": [_name(limit, x_axis) for limit in limits],
    }
    drawn = layout(LIGHT_AND_DARK, x_axis.settings, y_axis.settings, **more)
    names = [(curve.name, curve.colour) for curve in curves]
    return card(title, about, Figure(traces, drawn, names), HEIGHT_PX, wide=wide)


def top_of(values: Sequence[Floats]) -> float:
    """An upper end for an axis from 0 that all of these fit under."""
    highest = max((float(np.nanmax(column)) for column in values if not np.isnan(column).all()), default=0.0)
    return highest * 1.06 if highest > 0 else 1.0


def _line(at: float) -> dict[str, Any]:
    style = {"color": LIMIT_COLOUR, "width": 1.2, "dash": "dash"}
    return {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": style}


def _name(limit: Limit, axis: Axis) -> dict[str, Any]:
    """Beside its line, on the side where there is more room."""
    place = axis.place(limit.at)
    anchor, shift = ("right", -3) if place > sum(axis.settings["range"]) / 2 else ("left", 3)
    text = {"text": escape(limit.name), "font": {"color": LIMIT_COLOUR}, "showarrow": False}
    return {**text, "x": place, "xanchor": anchor, "xshift": shift, "y": 0, "yref": "paper", "yanchor": "bottom"}

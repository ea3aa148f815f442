"""Figures for Plotly, and how they stand in a page.

Python makes plain data (traces and layout, as plotly.js takes them); the browser draws it. A page is one file that
fetches nothing: plotly.js, which the package `plotly` brings, stands once in its head (4.8 MB), and each figure's data
stands as JSON right behind the element that it is drawn into. Nothing needs an id, so that the same run gives the same
bytes. Text is in pixels and stays so at any width, because a figure is drawn anew for the room it has, not scaled.

Colours may be variables of the page's style sheet, `var(--name)`: they are looked up when the page is drawn, which is
how a figure follows light and dark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

TEXT_PX: Final = 12
"""Of all text in a figure that has no reason to be smaller."""

MAX_DECADES_WITH_FIVES: Final = 3

FONT: Final = 'Inter, "Segoe UI", "Helvetica Neue", Helvetica, Arial, sans-serif'
CLEAR: Final = "rgba(0,0,0,0)"

DRAW: Final = """
const style = getComputedStyle(document.documentElement);
const drawn = [...document.querySelectorAll("script.figure")].map((data) => {
  const text = data.textContent.replace(/var\\((--\\w+)\\)/g, (_, name) => style.getPropertyValue(name).trim());
  const {traces, layout} = JSON.parse(text);
  return Plotly.newPlot(data.previousElementSibling, traces, layout, {responsive: true, displayModeBar: false});
});
Promise.all(drawn).then(() => { document.documentElement.dataset.ready = "yes"; });
"""

PRINT: Final = """
const fit = (width) => document.querySelectorAll("figure .plot").forEach((plot) =>
  Plotly.relayout(plot, {width: width(plot), autosize: true}));
addEventListener("beforeprint", () => fit((plot) => plot.closest(".wide") ? 650 : 300));
addEventListener("afterprint", () => fit(() => null));
"""
"""Paper has another width than the window, which nobody tells a figure; pixels are those of A4 with our margins."""

Json = Mapping[str, Any]


class Look(Struct, frozen=True):
    """The colours of a page's figures: text, lines of the grid, and what is shown where the pointer is."""

    ink: str
    grid: str
    hover_background: str
    hover_ink: str


class Figure(Struct, frozen=True):
    """Traces and layout for `Plotly.newPlot`, and (name, colour) of what a legend beside it must say."""

    traces: Sequence[Json]
    layout: Json
    legend: Sequence[tuple[str, str]] = ()


def layout(look: Look, x: Json, y: Json, **more: Any) -> dict[str, Any]:
    """What all figures share; `x` and `y` are the settings of the axes, `more` those of the whole."""
    axis: dict[str, Any] = {"gridcolor": look.grid, "zerolinecolor": look.grid, "automargin": True}
    axis |= {"exponentformat": "none", "ticks": "", "ticklabelstandoff": 4}
    shared: dict[str, Any] = {
        "autosize": True,
        "margin": {"l": 8, "r": 12, "t": 8, "b": 24},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": look.ink, "size": TEXT_PX, "family": FONT},
        "hoverlabel": {"bgcolor": look.hover_background, "font": {"color": look.hover_ink, "size": TEXT_PX}},
        "showlegend": False,
        "xaxis": {**axis, **x},
        "yaxis": {**axis, "fixedrange": True, **y},
    }
    return {**shared, **more}


def colour_bar(suffix: str, title: str = "") -> dict[str, Any]:
    """What the shades of a heat map mean, to the right of it."""
    return {
        "thickness": 8,
        "outlinewidth": 0,
        "ticksuffix": suffix,
        "nticks": 5,
        "xpad": 4,
        "ypad": 0,
        "title": {"text": title, "side": "right", "font": {"size": TEXT_PX}},
    }


def log_axis(low: float, high: float, text: Callable[[float], str]) -> dict[str, Any]:
    """A logarithmic axis: ticks at powers of ten, with 2 and 5 between them where there are few decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) - 1 <= MAX_DECADES_WITH_FIVES else (1,)
    ticks = [value for decade in decades for step in steps if low <= (value := step * 10.0**decade) <= high]
    ends = [math.log10(low), math.log10(high)]
    return {"type": "log", "range": ends, "tickvals": ticks, "ticktext": [text(value) for value in ticks]}


def column(values: Iterable[float | None], divisor: float = 1.0, digits: int = 5) -> list[float | None]:
    """Values over `divisor`, to as many digits as can be seen; None, which is a gap, for what is no number."""
    return [
        None if value is None or not math.isfinite(value) else float(f"{value / divisor:.{digits}g}")
        for value in values
    ]


def plot(figure: Figure, height_px: int | None = None) -> str:
    """The element that a figure is drawn into, with its data; without a height it fills the room that it is given."""
    data = json.dumps({"traces": figure.traces, "layout": figure.layout}, allow_nan=False, separators=(",", ":"))
    # Nothing inside may look like the end of the script.
    safe = data.replace("<", "\\u003c")
    height = "" if height_px is None else f' style="height:{height_px}px"'
    return f'<div class="plot"{height}></div><script type="application/json" class="figure">{safe}</script>'


def legend(names: Sequence[tuple[str, str]]) -> str:
    """(name, colour) as a line of marks; nothing for none."""
    marks = "".join(f'<span><i style="background:{colour}"></i>{escape(name)}</span>' for name, colour in names)
    return f'<div class="legend">{marks}</div>' if marks else ""


def whole_page(title: str, style: str, body: str) -> str:
    """The file: one page that draws the figures in its body."""
    offline: Any = import_module("plotly.offline")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An empty icon, so that a browser asks nobody for one.
        '<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns=\'http://www.w3.org/2000/svg\'/%3E">'
        f"<style>{style}</style>\n<script>{offline.get_plotlyjs()}</script></head>\n"
        f"<body>{body}<script>{DRAW}{PRINT}</script></body></html>\n"
    )

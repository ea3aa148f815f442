"""Panels as Plotly figures: plain data for its JavaScript, in the colours of Grafana's dark theme."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any, Final

from deploy.dashboards.prometheus_api import Series, Window
from deploy.pages.plots import Figure, Look, colour_bar, column, layout
from deploy.pages.units import digits, scale

DARK: Final = Look(ink="#8e8e9a", grid="rgba(204, 204, 220, 0.09)", hover_background="#22252b", hover_ink="#ccccdc")
BLUE: Final = "#5794f2"
PALETTE: Final = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#705da0",
    "#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#3d6fb4", "#a0508f", "#8a75b0",
)  # fmt: skip
"""Grafana's `palette-classic`, in its order; the darkest are a little lighter here."""

BLUE_TO_RED: Final = ((0.0, "#3865ab"), (0.5, "#e0b400"), (1.0, "#d6293e"))
ORANGES: Final = ((0.0, "#3a2414"), (0.5, "#d9590f"), (1.0, "#ffcb9a"))
DOWN_AND_UP: Final = ((0.0, "#d6293e"), (0.5, "#d6293e"), (0.5, "#4d9a44"), (1.0, "#4d9a44"))

MAX_EDGES: Final = 10
"""Of buckets that a panel has room to name; buckets may be less than 10 % apart."""

MINUTES_FROM_S: Final = 900.0
DAYS_FROM_S: Final = 86_400.0

Curve = tuple[str, Series]
"""A series and its name in the legend."""


def steps_ms(window: Window) -> list[float]:
    """The steps of a window as milliseconds of Unix time, which is how Plotly takes dates (it shows them as UTC)."""
    count = math.floor((window.end_s - window.start_s) / window.step_s + 1e-6) + 1
    return [1000 * (window.start_s + index * window.step_s) for index in range(count)]


def on_steps(series: Series, window: Window) -> list[float | None]:
    """A value for each step; None where Prometheus has none or no number."""
    values: list[float | None] = [None] * len(steps_ms(window))
    for time_s, value in zip(series.times_s, series.values):
        if math.isfinite(value):
            values[round((time_s - window.start_s) / window.step_s)] = value
    return values


def line_figure(panel: Mapping[str, Any], curves: Sequence[Curve], window: Window) -> Figure:
    """Curves, or areas on top of each other if the panel stacks."""
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults["custom"]
    is_stacked = custom["stacking"]["mode"] == "normal"
    on_each = [on_steps(series, window) for _, series in curves]
    highs = [max((value for value in values if value is not None), default=0.0) for values in on_each]
    top = defaults.get("max", max(highs, default=0.0))
    fitting = scale(defaults["unit"], sum(highs) if is_stacked else top)
    traces: list[dict[str, Any]] = []
    legend: list[tuple[str, str]] = []
    for (name, _), values, colour in zip(curves, on_each, cycle(PALETTE)):
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": steps_ms(window),
            "y": column(values, fitting.divisor),
            "line": {"color": colour, "width": 1.5 * custom["lineWidth"]},
            "fillcolor": _faint(colour, custom["fillOpacity"] / 100),
            "hovertemplate": f"%{{y:.4g}}{fitting.suffix}",
        }
        traces.append(trace | ({"stackgroup": "all"} if is_stacked else {}))
        legend.append((name, colour))
    vertical: dict[str, Any] = {"ticksuffix": fitting.suffix, "rangemode": "tozero", "nticks": 6}
    if "max" in defaults:
        vertical["range"] = [0, defaults["max"] / fitting.divisor]
    elif not any(highs):
        vertical["range"] = [0, 1 / fitting.divisor]
    return Figure(traces, _layout(panel, window, vertical) | {"hovermode": "x unified"}, legend)


def bucket_figure(panel: Mapping[str, Any], curves: Sequence[Curve], window: Window) -> Figure:
    """A histogram over time: one row per bucket, from the lowest to the highest that anything fell into."""
    by_bound = sorted((float(series.labels["le"]), series) for _, series in curves)
    cumulative = [on_steps(series, window) for _, series in by_bound]
    counts = [cumulative[0], *(_less(low, high) for low, high in pairwise(cumulative))]
    filled = [row for row, column in enumerate(counts) if any(column)]
    first, last = (filled[0], filled[-1]) if filled else (0, len(counts) - 1)
    edges = [0.0, *(bound for bound, _ in by_bound)][first : last + 2]
    trace = {
        "type": "heatmap",
        "x": steps_ms(window),
        "y": list(range(len(edges))),
        "z": [[value or None for value in column] for column in counts[first : last + 1]],
        "zmin": 0,
        "colorscale": ORANGES,
        "colorbar": colour_bar("", "requests"),
        "xgap": 1,
        "ygap": 1,
        "hovertemplate": "%{z:.3g} requests<extra></extra>",
    }
    unit = panel["options"]["yAxis"]["unit"]
    labelled = range(0, len(edges), math.ceil(len(edges) / MAX_EDGES))
    vertical = {"tickvals": list(labelled), "ticktext": [_bound(unit, edges[row]) for row in labelled]}
    return Figure([trace], _layout(panel, window, vertical))


def history_figure(panel: Mapping[str, Any], curves: Sequence[Curve], window: Window) -> Figure:
    """One line of cells per series, the first on top."""
    defaults = panel["fieldConfig"]["defaults"]
    on_each = [on_steps(series, window) for _, series in curves]
    highest = defaults.get("max", max((value for row in on_each for value in row if value is not None), default=1.0))
    fitting = scale(defaults["unit"], highest)
    names = [mapped["text"] for mapping in defaults.get("mappings", ()) for mapped in mapping["options"].values()]
    trace: dict[str, Any] = {
        "type": "heatmap",
        "x": steps_ms(window),
        "y": [name for name, _ in curves],
        "z": [column(values, fitting.divisor) for values in on_each],
        "zmin": 0,
        "zmax": 1 if names else highest / fitting.divisor,
        "ygap": 1,
        "hovertemplate": f"%{{y}}: %{{z:.4g}}{fitting.suffix}<extra></extra>",
    }
    if names:
        trace |= {"colorscale": DOWN_AND_UP, "showscale": False}
        legend = list(zip(names, (DOWN_AND_UP[0][1], DOWN_AND_UP[-1][1])))
    else:
        trace |= {"colorscale": BLUE_TO_RED, "colorbar": colour_bar(fitting.suffix)}
        legend: list[tuple[str, str]] = []
    vertical = {"autorange": "reversed", "type": "category", "dtick": 1, "showgrid": False}
    return Figure([trace], _layout(panel, window, vertical), legend)


def sparkline_figure(values: Sequence[float | None]) -> Figure:
    """The course of one number, from zero up, without axes."""
    trace = {"type": "scatter", "mode": "lines", "y": column(values), "line": {"color": BLUE, "width": 1.5}}
    margin = {"l": 0, "r": 0, "t": 2, "b": 0}
    axis = {"visible": False, "fixedrange": True}
    y = {**axis, "rangemode": "tozero"}
    return Figure([{**trace, "hoverinfo": "skip"}], layout(DARK, axis, y, margin=margin))


def _layout(panel: Mapping[str, Any], window: Window, vertical: Mapping[str, Any]) -> dict[str, Any]:
    """Time across, with as many ticks as the panel's columns have room for."""
    span_s = window.end_s - window.start_s
    ticks = "%H:%M:%S" if span_s < MINUTES_FROM_S else "%H:%M" if span_s < DAYS_FROM_S else "%d %b %H:%M"
    across = {
        "type": "date",
        "range": [1000 * window.start_s, 1000 * window.end_s],
        "tickformat": ticks,
        "hoverformat": "%H:%M:%S UTC",
        "nticks": panel["gridPos"]["w"] * 3 // 4,
    }
    return layout(DARK, across, vertical)


def _less(low: Sequence[float | None], high: Sequence[float | None]) -> list[float | None]:
    """What fell between two cumulative bounds; extrapolated counts may differ by a rounding."""
    return [None if a is None or b is None else max(b - a, 0.0) for a, b in zip(low, high)]


def _bound(unit: str, edge: float) -> str:
    if not math.isfinite(edge):
        return "∞"
    fitting = scale(unit, edge)
    return f"{digits(edge / fitting.divisor)}{fitting.suffix}" if edge else "0"


def _faint(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity:g})"

"""What a dashboard is made of: rows of panels, each with its queries, and choices at its head.

A panel's `settings` and `field` are what Grafana calls `options` and `fieldConfig.defaults`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

COLUMNS: Final = 24
"""Columns of Grafana's grid; its rows are 30 pixels high, with 8 between them."""

PLAIN_CODE: Final = {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False}
"""Grafana wants it even where there is none."""

Json = Mapping[str, Any]


class Query(Struct, frozen=True):
    """One PromQL expression. `legend` names its series and may hold labels, such as `{{role}}`."""

    expression: str
    legend: str


class Panel(Struct, frozen=True):
    """One panel of `width` columns and `height` grid rows. `description` says in plain words what is seen."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    width: int
    height: int
    settings: Json
    field: Json = field(default_factory=dict[str, Any])
    is_histogram: bool = False
    """Whether its series are the buckets of a histogram."""


class Row(Struct, frozen=True):
    """Panels under one heading, laid out from left to right; no heading if `title` is empty."""

    title: str
    panels: Sequence[Panel]


class Choice(Struct, frozen=True):
    """A variable: the values of a label among the series that `selector` matches; all of them by default."""

    name: str
    title: str
    label: str
    selector: str


class Dashboard(Struct, frozen=True):
    """`uid` is its stable name, in links and as file name."""

    uid: str
    title: str
    description: str
    choices: Sequence[Choice]
    rows: Sequence[Row]


NO_VALUE: Final = "-"
"""Of a ratio while nothing is served."""


def words(title: str, markdown: str, width: int, height: int) -> Panel:
    """A panel of text."""
    settings = {"mode": "markdown", "content": markdown, "code": PLAIN_CODE}
    return Panel("text", title, "How to read this dashboard.", (), width, height, settings)


def stat(title: str, description: str, unit: str, expression: str, *, names: Json | None = None) -> Panel:
    """One big number: the value at the end of the range, its course behind it. Where there is none, such as of a ratio
    while nothing is served, it is not the last that there was. `names` are words for values, by text."""
    settings = {
        "reduceOptions": {"calcs": ["last"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none" if names else "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
        "percentChangeColorMode": "standard",
        "showPercentChange": False,
        "wideLayout": True,
    }
    shown: dict[str, Any] = {"unit": unit, "min": 0, "color": {"mode": "fixed", "fixedColor": "blue"}}
    shown["noValue"] = NO_VALUE
    shown["mappings"] = [
        *([_names(names)] if names else []),
        {"type": "special", "options": {"match": "nan", "result": {"text": NO_VALUE, "index": len(names or ())}}},
    ]
    return Panel("stat", title, description, (Query(expression, title),), 3, 4, settings, shown)


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    highest: float | None = None,
    width: int = 8,
    height: int = 8,
) -> Panel:
    """Curves over time from zero up, or areas on top of each other. `highest` fixes the top of the axis."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 0,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    shown: dict[str, Any] = {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}, "custom": custom}
    if highest is not None:
        shown["max"] = highest
    settings: dict[str, Any] = {
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, queries, width, height, settings, shown)


def heat_map(title: str, description: str, unit: str, expression: str, *, width: int = 8, height: int = 8) -> Panel:
    """How many values fell into each bucket of a histogram, over time."""
    settings = {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "exponent": 0.5,
            "fill": "orange",
            "reverse": False,
            "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    query = Query(expression, "{{le}}")
    return Panel("heatmap", title, description, (query,), width, height, settings, is_histogram=True)


def history(
    title: str,
    description: str,
    unit: str,
    query: Query,
    *,
    width: int,
    height: int,
    highest: float | None = None,
    names: Json | None = None,
) -> Panel:
    """One line of coloured cells per series. `names` are words for 0 and 1, which then are red and green."""
    shown: dict[str, Any] = {"unit": unit, "min": 0, "custom": {"lineWidth": 0, "fillOpacity": 80}}
    if names:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
        shown |= {"color": {"mode": "thresholds"}, "thresholds": {"mode": "absolute", "steps": steps}}
        shown["mappings"] = [_names(names)]
    else:
        shown["color"] = {"mode": "continuous-BlYlRd"}
    if highest is not None:
        shown["max"] = highest
    settings: dict[str, Any] = {
        "colWidth": 1,
        "rowHeight": 0.9,
        "showValue": "never",
        "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel("status-history", title, description, (query,), width, height, settings, shown)


def _names(names: Json) -> dict[str, Any]:
    shown = {value: {"text": text, "index": index} for index, (value, text) in enumerate(names.items())}
    return {"type": "value", "options": shown}

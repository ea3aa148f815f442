"""Dashboards as one HTML page, for people without Grafana; it holds its JavaScript and fetches nothing.

One after another, each follows its own JSON: grid, queries, units and legends are those that Grafana would show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

from deploy.dashboards.panels import COLUMNS
from deploy.dashboards.plots import Curve, bucket_figure, history_figure, line_figure, on_steps, sparkline_figure
from deploy.dashboards.prometheus_api import SCRAPE_INTERVAL_S, Prometheus, QueryError, Window
from deploy.dashboards.queries import fill, panel_queries, panels, series_name
from deploy.pages.plots import Figure, legend, plot, whole_page
from deploy.pages.units import shown
from scheduler.protocol.errors import InputError

TITLE: Final = "Supernode"

MAX_STEPS: Final = 300
"""Steps of a curve over the whole range; Grafana takes about one per pixel."""

SPARKLINE_PX: Final = 32

FIGURES: Final[Mapping[str, Callable[[Mapping[str, Any], Sequence[Curve], Window], Figure]]] = {
    "timeseries": line_figure,
    "heatmap": bucket_figure,
    "status-history": history_figure,
}

STYLE: Final = f"""
body {{ margin: 0; padding: 16px; background: #111217; color: #ccccdc;
  font: 13px Inter, Helvetica, Arial, sans-serif; }}
header {{ display: flex; justify-content: space-between; align-items: baseline; margin: 0 4px 12px; }}
h1 {{ font-size: 20px; font-weight: 500; margin: 0; }}
header span, .quiet {{ color: #8e8e9a; }}
nav {{ position: sticky; top: 0; z-index: 1; background: #111217; padding: 6px 4px; margin-bottom: 8px; }}
nav a {{ color: #8ab8ff; text-decoration: none; margin-right: 20px; font-size: 14px; }}
article {{ scroll-margin-top: 32px; margin-bottom: 32px; }}
article > p {{ margin: 0 4px 10px; }}
.board {{ font-size: 18px; font-weight: 500; margin: 0 4px 4px; }}
main {{ display: grid; grid-template-columns: repeat({COLUMNS}, minmax(0, 1fr)); grid-auto-rows: 30px; gap: 8px; }}
section {{ background: #181b1f; border: 1px solid #25272e; border-radius: 3px; display: flex; flex-direction: column;
  min-width: 0; min-height: 0; overflow: hidden; }}
h2 {{ font-size: 15px; font-weight: 500; margin: 6px 4px; }}
h3 {{ font-size: 13px; font-weight: 500; margin: 7px 10px 3px; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }}
.plot {{ flex: 1; min-height: 0; padding: 0 4px; }}
.legend {{ padding: 0 10px 6px; line-height: 17px; max-height: 51px; overflow-y: auto; font-size: 12px; }}
.legend span {{ margin-right: 12px; white-space: nowrap; }}
.legend i {{ display: inline-block; width: 12px; height: 3px; border-radius: 1px; margin-right: 5px;
  vertical-align: middle; }}
.words {{ padding: 8px 12px; line-height: 1.5; overflow-y: auto; }}
.words p {{ margin: 0 0 6px; }}
.words code {{ background: #22252b; padding: 1px 4px; border-radius: 2px; }}
.number {{ flex: 1; display: flex; flex-direction: column; justify-content: center; align-items: center;
  font-size: 26px; color: #8ab8ff; min-height: 0; white-space: nowrap; }}
.number .plot {{ flex: none; width: 100%; margin-top: 8px; }}
.note {{ flex: 1; display: flex; align-items: center; justify-content: center; padding: 12px; text-align: center; }}
.fault {{ color: #f2495c; overflow: auto; }}
"""


def dashboards_page(
    dashboards: Sequence[Mapping[str, Any]],
    prometheus_url: str,
    start_s: float,
    end_s: float,
    scrape_interval_s: float = SCRAPE_INTERVAL_S,
) -> str:
    """The page of some dashboards (their JSON) from `start_s` to `end_s` (Unix time).

    InputError if the range is empty, ClusterError if no Prometheus answers. A query that it refuses shows in its panel.
    """
    if not start_s < end_s:
        raise InputError(f"a page from {start_s:.0f} to {end_s:.0f} (Unix time) shows nothing: give a later end")
    window = _window(start_s, end_s, scrape_interval_s)
    makers = [_PageMaker(one, Prometheus(prometheus_url), window, scrape_interval_s) for one in dashboards]
    boards = "\n".join(maker.board() for maker in makers)
    links = "".join(f'<a href="#{escape(one["uid"])}">{escape(one["title"])}</a>' for one in dashboards)
    head = f"<header><h1>{TITLE}</h1><span>{escape(_range(window))}</span></header>\n<nav>{links}</nav>"
    return whole_page(TITLE, STYLE, f"{head}\n{boards}\n")


class _PageMaker:
    """Makes the HTML of a dashboard: asks its queries, and draws what comes back."""

    def __init__(
        self, dashboard: Mapping[str, Any], prometheus: Prometheus, window: Window, scrape_interval_s: float
    ) -> None:
        self._dashboard = dashboard
        self._prometheus = prometheus
        self._window = window
        self._scrape_interval_s = scrape_interval_s

    def board(self) -> str:
        """All panels under the title of the dashboard."""
        uid, title, about = (escape(self._dashboard[key]) for key in ("uid", "title", "description"))
        body = "\n".join(map(self._panel, panels(self._dashboard)))
        head = f'<div class="board">{title}</div><p class="quiet">{about}</p>'
        return f'<article id="{uid}">{head}<main>\n{body}\n</main></article>'

    def _panel(self, panel: Mapping[str, Any]) -> str:
        """One panel at its place in the grid."""
        grid = panel["gridPos"]
        across = f"grid-column: {grid['x'] + 1} / span {grid['w']}"
        place = f'style="{across}; grid-row: {grid["y"] + 1} / span {grid["h"]}"'
        title = escape(panel["title"])
        if panel["type"] == "row":
            return f"<h2 {place}>{title}</h2>"
        heading = f'<h3 title="{escape(panel["description"])}">{title}</h3>' if title else ""
        try:
            inside = self._inside(panel)
        except QueryError as error:
            inside = f'<div class="note fault">{escape(str(error))}</div>'
        return f"<section {place}>{heading}{inside}</section>"

    def _inside(self, panel: Mapping[str, Any]) -> str:
        kind = panel["type"]
        if kind == "text":
            return f'<div class="words">{_paragraphs(panel["options"]["content"])}</div>'
        if kind != "stat" and kind not in FIGURES:
            return f'<div class="note quiet">Panels of type {escape(kind)} show in Grafana only.</div>'
        curves = self._curves(panel)
        if not curves:
            return '<div class="note quiet">No data</div>'
        if kind == "stat":
            return _number(panel, on_steps(curves[0][1], self._window))
        figure = FIGURES[kind](panel, curves, self._window)
        return plot(figure) + legend(figure.legend)

    def _curves(self, panel: Mapping[str, Any]) -> list[Curve]:
        """What came back for the queries of a panel, by name; series without any number are left out."""
        found: list[Curve] = []
        for query in panel_queries(panel):
            expression = fill(query.expression, self._window, self._scrape_interval_s)
            found.extend(
                (series_name(query.legend, series.labels), series)
                for series in self._prometheus.over_time(expression, self._window)
                if any(value is not None for value in on_steps(series, self._window))
            )
        return found


def _window(start_s: float, end_s: float, scrape_interval_s: float) -> Window:
    """Whole steps: no shorter than a scrape, and on the same instants however the range moves, as Grafana has them."""
    step_s = scrape_interval_s * max(1, -(-(end_s - start_s) // (MAX_STEPS * scrape_interval_s)))
    first = start_s // step_s * step_s
    return Window(first, max(end_s // step_s * step_s, first + step_s), step_s)


def _range(window: Window) -> str:
    start, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (window.start_s, window.end_s))
    until = f"{end:%H:%M:%S}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    return f"{start:%Y-%m-%d %H:%M:%S} to {until} UTC, one point per {window.step_s:g} s"


def _number(panel: Mapping[str, Any], values: Sequence[float | None]) -> str:
    """The value at the end, large, with its course below if the panel wants one."""
    defaults = panel["fieldConfig"]["defaults"]
    last = values[-1] if values else None
    names = {
        key: named["text"]
        for mapping in defaults.get("mappings", ())
        if mapping["type"] == "value"
        for key, named in mapping["options"].items()
    }
    text = defaults["noValue"] if last is None else names.get(f"{last:g}", shown(defaults["unit"], last))
    course = plot(sparkline_figure(values), SPARKLINE_PX) if panel["options"]["graphMode"] == "area" else ""
    return f'<div class="number"><div>{escape(text)}</div>{course}</div>'


def _paragraphs(markdown: str) -> str:
    """The little Markdown that our panels of text use: paragraphs, **bold** and `code`."""
    text = escape(markdown)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", text)
    return "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))

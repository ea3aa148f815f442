"""Reads a dashboard's JSON back: its panels and their queries, with Grafana's variables filled in as Grafana would.

Every choice stands at its default, all values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from deploy.dashboards.prometheus_api import Window

EVERYTHING: Final = ".*"

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)(?::\w+)?\}|\$([A-Za-z_]\w*)")
_LEGEND_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")


class PanelQuery(Struct, frozen=True):
    """One query of a panel. `place` names it for a person; `expression` still holds Grafana's variables."""

    place: str
    expression: str
    legend: str


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """All panels in order, headings and the panels under collapsed headings included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def panel_queries(panel: Mapping[str, Any]) -> list[PanelQuery]:
    """The queries of a panel; none for text and headings."""
    return [
        PanelQuery(f"panel {panel['id']} ({panel['title']}) {target['refId']}", target["expr"], target["legendFormat"])
        for target in panel.get("targets", ())
    ]


def fill(expression: str, window: Window, scrape_interval_s: float) -> str:
    """Replace Grafana's variables. Its own follow its rules; any other is a choice, and stands for everything.

    `$__rate_interval` is at least four scrapes, so that a rate always has its two samples, and at least a step and a
    scrape, so that no sample falls between two steps.
    """
    spans_s = {
        "__interval": max(window.step_s, scrape_interval_s),
        "__rate_interval": max(4 * scrape_interval_s, window.step_s + scrape_interval_s),
        "__range": window.end_s - window.start_s,
    }

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return f"{round(1000 * spans_s[name])}ms" if name in spans_s else EVERYTHING

    return _VARIABLE.sub(value, expression)


def series_name(template: str, labels: Mapping[str, str]) -> str:
    """The name of a series: the template with its labels filled in."""
    return _LEGEND_LABEL.sub(lambda match: labels.get(match[1], ""), template)

"""Dashboards as Grafana's JSON (its classic schema, the one that files are provisioned in)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Any, Final

from deploy.dashboards.panels import COLUMNS, Choice, Dashboard, Panel, Row

SCHEMA_VERSION: Final = 39
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
"""Whatever data source is chosen at the head of the dashboard."""

PROVISIONED_NAME: Final = "Prometheus"
PROVISIONED_UID: Final = "supernode-prometheus"
"""The data source of provisioning/datasources, chosen at first; a Grafana without it takes its own first one."""

TAG: Final = "supernode"

_OTHERS: Final = {
    "type": "dashboards",
    "title": "Supernode",
    "tags": [TAG],
    "asDropdown": False,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}
"""A button for each of our dashboards, at the head of all of them; the range of time goes along."""

ON_TIME_CHANGE: Final = 2
ALPHABETICAL: Final = 1
SHARED_CROSSHAIR: Final = 1


def document(dashboard: Dashboard) -> dict[str, Any]:
    """The JSON of a dashboard. Panels are numbered in the order in which they are read."""
    return {
        "annotations": {"list": []},
        "description": dashboard.description,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": SHARED_CROSSHAIR,
        "id": None,
        "links": [_OTHERS],
        "panels": list(_placed(dashboard.rows)),
        "refresh": "5s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": [TAG],
        "templating": {"list": [_source(), *map(_choice, dashboard.choices)]},
        "time": {"from": "now-15m", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "title": dashboard.title,
        "uid": dashboard.uid,
        "version": 1,
        "weekStart": "",
    }


def _placed(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Left to right, and a line further down, past the highest of the line, where the next panel has no room."""
    number = 0
    top = 0
    for row in rows:
        if row.title:
            number += 1
            yield _heading(number, row.title, top)
            top += 1
        left = highest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top, highest = 0, top + highest, 0
            number += 1
            yield _panel(number, panel, left, top)
            left, highest = left + panel.width, max(highest, panel.height)
        top += highest


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, left: int, top: int) -> dict[str, Any]:
    common: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
        "options": dict(panel.settings),
    }
    if not panel.queries:
        return common
    return common | {
        "datasource": SOURCE,
        "fieldConfig": {"defaults": dict(panel.field), "overrides": []},
        "targets": [
            {
                "refId": letter,
                "datasource": SOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "format": "heatmap" if panel.is_histogram else "time_series",
                "editorMode": "code",
                "range": True,
                "instant": False,
            }
            for letter, query in zip(ascii_uppercase, panel.queries)
        ],
    }


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "current": {"selected": True, "text": PROVISIONED_NAME, "value": PROVISIONED_UID},
        "options": [],
    }


def _choice(choice: Choice) -> dict[str, Any]:
    query = f"label_values({choice.selector}, {choice.label})"
    return {
        "name": choice.name,
        "label": choice.title,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{choice.name}"},
        "refresh": ON_TIME_CHANGE,
        "sort": ALPHABETICAL,
        "hide": 0,
        "regex": "",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
    }

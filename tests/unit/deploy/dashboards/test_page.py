"""The page holds what the dashboard's JSON says and Prometheus answers; it fetches nothing, and text stays text."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from deploy.dashboards.files import UIDS, load_dashboard
from deploy.dashboards.page import dashboards_page
from deploy.dashboards.prometheus_api import Prometheus, Series, Window
from deploy.dashboards.queries import panels
from scheduler.protocol.errors import InputError

URL = "http://127.0.0.1:1"


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every query has one series, with any label that a legend asks for."""

    def over_time(_self: Prometheus, _expression: str, window: Window) -> list[Series]:
        labels = {"le": "0.5", "instance": "</script><b>", "node": "07", "rack": "03"}
        return [Series(labels, (window.start_s, window.end_s), (1.0, 2.0))]

    monkeypatch.setattr(Prometheus, "over_time", over_time)


DRAWN = ("timeseries", "heatmap", "status-history")


def _figures(page: str) -> list[Any]:
    """All figures, in the order of the page."""
    return [
        json.loads(data) for data in re.findall(r'<script type="application/json" class="figure">(.*?)</script>', page)
    ]


def _sections(page: str) -> dict[str, str]:
    """The panels of one dashboard, by title."""
    found = re.findall(r"<section [^>]*>(?:<h3 [^>]*>(.*?)</h3>)?(.*?)</section>", page, re.DOTALL)
    return {unescape(title): inside for title, inside in found}


@pytest.mark.usefixtures("answered")
@pytest.mark.parametrize("uid", UIDS)
def test_every_panel_is_at_its_place_and_text_stays_text(uid: str) -> None:
    dashboard = load_dashboard(uid)
    page = dashboards_page([dashboard], URL, 1_000.0, 1_900.0)
    body = page[page.index("<body>") :]
    assert body.count("<section ") == sum(panel["type"] != "row" for panel in panels(dashboard))
    for panel in panels(dashboard):
        grid = panel["gridPos"]
        assert f"grid-column: {grid['x'] + 1} / span {grid['w']}; grid-row: {grid['y'] + 1} / span {grid['h']}" in body
    sections = _sections(body)
    for panel in panels(dashboard):
        is_drawn = panel["type"] in DRAWN or panel.get("options", {}).get("graphMode") == "area"
        if panel["type"] != "row":
            assert len(_figures(sections[panel["title"]])) == is_drawn
    assert "</script><b>" not in page
    assert not re.search(r'(src=|href="[^#])', body)


@pytest.mark.usefixtures("answered")
def test_dashboards_follow_each_other() -> None:
    page = dashboards_page([load_dashboard(uid) for uid in UIDS], URL, 1_000.0, 1_900.0)
    assert re.findall(r'<a href="#([^"]+)">', page) == re.findall(r'<article id="([^"]+)">', page) == list(UIDS)
    apart = (dashboards_page([load_dashboard(uid)], URL, 1_000.0, 1_900.0) for uid in UIDS)
    assert _figures(page) == [figure for one in apart for figure in _figures(one)]


@pytest.mark.usefixtures("answered")
def test_a_panel_that_it_cannot_draw_says_so() -> None:
    dashboard = load_dashboard("supernode-serving")
    dashboard["panels"] = [panel | {"type": "nodeGraph"} for panel in dashboard["panels"] if panel["title"] == "TTFT"]
    assert "Panels of type nodeGraph show in Grafana only." in dashboards_page([dashboard], URL, 1_000.0, 1_900.0)


def test_nothing_to_show_is_said_in_each_panel(monkeypatch: pytest.MonkeyPatch) -> None:

    def over_time(_self: Prometheus, _expression: str, window: Window) -> list[Series]:
        return [Series({}, (window.start_s,), (float("nan"),))]

    monkeypatch.setattr(Prometheus, "over_time", over_time)
    dashboard = load_dashboard("supernode-serving")
    page = dashboards_page([dashboard], URL, 1_000.0, 1_900.0)
    assert page.count("No data") == sum(bool(panel.get("targets")) for panel in panels(dashboard))
    assert _figures(page) == []


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InputError, match="give a later end"):
        dashboards_page([], URL, 1_000.0, 1_000.0)

"""The page holds what the dashboard's JSON says and Prometheus answers; it fetches nothing, and text stays text."""

from __future__ import annotations

import json
import re
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


def _figures(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


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
    drawn = [panel["id"] for panel in panels(dashboard) if panel["type"] in ("timeseries", "heatmap", "status-history")]
    assert list(_figures(page)) == [f"{uid}-panel-{number}" for number in drawn]
    assert "</script><b>" not in page
    assert not re.search(r'(src=|href="[^#])', body)


@pytest.mark.usefixtures("answered")
def test_dashboards_follow_each_other_and_share_no_figure() -> None:
    page = dashboards_page([load_dashboard(uid) for uid in UIDS], URL, 1_000.0, 1_900.0)
    assert re.findall(r'<a href="#([^"]+)">', page) == re.findall(r'<article id="([^"]+)">', page) == list(UIDS)
    num_drawn = sum(
        panel["type"] in ("timeseries", "heatmap", "status-history")
        for uid in UIDS
        for panel in panels(load_dashboard(uid))
    )
    assert len(_figures(page)) == page.count('<div class="plot"') == num_drawn


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
    assert _figures(page) == {}


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(InputError, match="give a later end"):
        dashboards_page([], URL, 1_000.0, 1_000.0)

"""The committed dashboards are those that the data makes, and keep Grafana's conventions and our exporter's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from deploy.dashboards.files import FOLDER, UIDS, load_dashboard, texts
from deploy.dashboards.panels import COLUMNS
from deploy.dashboards.queries import PanelQuery, panel_queries, panels
from deploy.pages.units import scale
from scheduler.metrics.family import HistogramFamily
from scheduler.metrics.subject import own_families
from scheduler.protocol.errors import InputError
from tests.dashboard_check import choice_queries

GRAFANA_VARIABLES = {"__rate_interval", "__interval", "__range"}
GRAFANA_UNITS = {"s", "percentunit", "watt", "joule", "Bps", "decbytes", "reqps", "short", "none"}

UNUSED_FAMILIES: frozenset[str] = frozenset()
"""Families that no dashboard shows, each on purpose."""

LABELS: dict[str, set[str]] = {
    family.name: {*family.labels, *(["le"] if isinstance(family, HistogramFamily) else [])} for family in own_families()
}


def _families(expression: str) -> set[str]:
    """Families that an expression names; the suffixes that a histogram's samples bring are taken off."""
    names = set(re.findall(r"\bsupernode_\w+", expression))
    histograms = {family.name for family in own_families() if isinstance(family, HistogramFamily)}
    bases = {name: re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
    return {base if base in histograms else name for name, base in bases.items()}


def _queries(dashboard: dict[str, Any]) -> Iterator[PanelQuery]:
    for panel in panels(dashboard):
        yield from panel_queries(panel)


def test_the_committed_files_are_what_the_data_makes() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert committed == texts(), "run: python -m deploy.dashboards"


def test_an_unknown_dashboard_is_told_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no such dashboard: nothing; known: .*supernode"):
        load_dashboard("nothing")


def test_every_family_is_shown_and_every_name_exists() -> None:
    used: set[str] = set()
    for uid in UIDS:
        dashboard = load_dashboard(uid)
        expressions = [query.expression for query in _queries(dashboard)]
        expressions += [choice.selector for choice in choice_queries(dashboard)]
        used = used.union(*map(_families, expressions))
    assert used <= set(LABELS)
    assert set(LABELS) - used == UNUSED_FAMILIES


@pytest.mark.parametrize("uid", UIDS)
def test_labels_that_are_named_exist(uid: str) -> None:
    for query in _queries(load_dashboard(uid)):
        known = set[str]().union(*(LABELS[name] for name in _families(query.expression)))
        grouped = {
            label.strip() for group in re.findall(r"by \(([^)]*)\)", query.expression) for label in group.split(",")
        }
        matched = set(re.findall(r"(\w+)=~?\"", query.expression)) - {"job"}
        assert grouped | matched <= known, query
        shown = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
        assert shown <= (grouped or known), query


@pytest.mark.parametrize("uid", UIDS)
def test_grafana_conventions_are_kept(uid: str) -> None:
    dashboard = load_dashboard(uid)
    assert dashboard["id"] is None
    assert dashboard["uid"] == uid
    assert 39 <= dashboard["schemaVersion"] <= 41
    shown = list(panels(dashboard))
    assert len({panel["id"] for panel in shown}) == len(shown)
    for panel in shown:
        if panel["type"] == "row":
            continue
        assert panel["description"].endswith(".")
        for target in panel.get("targets", ()):
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel.get("targets"):
            unit = panel["fieldConfig"]["defaults"].get("unit", "short")
            assert unit in GRAFANA_UNITS or unit.startswith(("si:", "suffix:")), unit
            assert scale(unit, 1.0).suffix != f" {unit}" or unit == "s", "the page does not know the unit"


@pytest.mark.parametrize("uid", UIDS)
def test_panels_fill_the_grid_without_overlap(uid: str) -> None:
    places = [panel["gridPos"] for panel in panels(load_dashboard(uid))]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


@pytest.mark.parametrize("uid", UIDS)
def test_every_variable_that_is_used_is_there(uid: str) -> None:
    dashboard = load_dashboard(uid)
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    texts_with_variables = [query.expression for query in _queries(dashboard)]
    texts_with_variables += [choice.selector for choice in choice_queries(dashboard)]
    used = {name for text in texts_with_variables for name in re.findall(r"\$\{?([A-Za-z_]\w*)", text)}
    assert used <= there | GRAFANA_VARIABLES
    assert there <= used | {"datasource"}


@pytest.mark.parametrize("uid", UIDS)
def test_rates_span_what_grafana_chooses(uid: str) -> None:
    """A fixed window would be empty or blunt at another scrape interval or range."""
    for query in _queries(load_dashboard(uid)):
        assert set(re.findall(r"\[([^\]]*)\]", query.expression)) <= {"$__rate_interval", "$__range"}, query

"""What Prometheus answers is what the plots hold: gaps stay gaps, buckets sum to their histogram."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dashboards.grafana import document
from deploy.dashboards.panels import Dashboard, Panel, Query, Row, heat_map, history, lines
from deploy.dashboards.plots import MAX_EDGES, bucket_figure, history_figure, line_figure, on_steps, steps_ms
from deploy.dashboards.prometheus_api import Series, Window

WINDOW = Window(1_000.0, 1_020.0, 5.0)


def _json(panel: Panel) -> dict[str, Any]:
    return document(Dashboard("test", "Test", "", (), (Row("", (panel,)),)))["panels"][0]


def _series(*values: float, **labels: str) -> Series:
    return Series(labels, tuple(1_000.0 + 5 * index for index in range(len(values))), values)


def test_a_missing_step_is_a_gap_and_so_is_what_is_no_number() -> None:
    series = Series({}, (1_000.0, 1_010.0, 1_015.0, 1_020.0), (1.0, math.nan, math.inf, 4.0))
    assert on_steps(series, WINDOW) == [1.0, None, None, None, 4.0]
    assert steps_ms(WINDOW) == [1e6, 1.005e6, 1.01e6, 1.015e6, 1.02e6]


def test_curves_share_the_unit_of_the_largest() -> None:
    panel = _json(lines("Latency", "Latency.", "s", Query("x", "x")))
    figure = line_figure(panel, [("p50", _series(0.01, 0.02)), ("p99", _series(0.3, math.nan))], WINDOW)
    assert [trace["y"][:2] for trace in figure.traces] == [[10.0, 20.0], [300.0, None]]
    assert figure.layout["yaxis"]["ticksuffix"] == " ms"
    assert [name for name, _ in figure.legend] == ["p50", "p99"]


def test_a_stack_is_read_in_the_unit_of_its_sum() -> None:
    panel = _json(lines("Power", "Power.", "watt", Query("x", "x"), stacked=True))
    figure = line_figure(panel, [("a", _series(600.0)), ("b", _series(600.0))], WINDOW)
    assert figure.layout["yaxis"]["ticksuffix"] == " kW"
    assert {trace["stackgroup"] for trace in figure.traces} == {"all"}


@given(counts=st.lists(st.integers(0, 50), min_size=1, max_size=40).filter(any))
def test_buckets_hold_what_fell_between_their_bounds(counts: list[int]) -> None:
    bounds = [*(f"{0.1 * (index + 1):g}" for index in range(len(counts) - 1)), "+Inf"]
    curves = [(le, _series(float(sum(counts[: index + 1])), le=le)) for index, le in enumerate(bounds)]
    # Prometheus sorts labels as text, so buckets come in any order.
    figure = bucket_figure(_json(heat_map("TTFT", "TTFT.", "s", "x")), sorted(curves, reverse=True), WINDOW)
    rows = [row[0] or 0 for row in figure.traces[0]["z"]]
    filled = [index for index, count in enumerate(counts) if count]
    assert rows == counts[filled[0] : filled[-1] + 1]
    named = figure.layout["yaxis"]["tickvals"]
    assert len(named) == len(figure.layout["yaxis"]["ticktext"]) <= MAX_EDGES
    assert named[0] == 0
    if len(rows) < MAX_EDGES:
        assert named == list(range(len(rows) + 1))


@pytest.mark.parametrize(("names", "highest"), [({"0": "Down", "1": "Up"}, 1.0), (None, 50.0)])
def test_a_history_has_a_line_per_series_the_first_on_top(names: dict[str, str] | None, highest: float) -> None:
    panel = _json(history("Nodes", "Nodes.", "none", Query("x", "x"), width=24, height=8, names=names))
    figure = history_figure(panel, [("00", _series(0.0, 1.0)), ("01", _series(1.0, highest))], WINDOW)
    trace = figure.traces[0]
    assert trace["y"] == ["00", "01"]
    assert figure.layout["yaxis"]["autorange"] == "reversed"
    assert (trace["zmin"], trace["zmax"]) == (0, highest)
    assert [name for name, _ in figure.legend] == list((names or {}).values())

"""Grafana's variables are filled in by Grafana's rules; choices and legends are read as Grafana reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dashboards.prometheus_api import Window
from deploy.dashboards.queries import fill, series_name

WINDOW = Window(1_000.0, 1_900.0, 5.0)


@pytest.mark.parametrize(
    ("expression", "filled"),
    [
        ("rate(x[$__rate_interval])", "rate(x[20000ms])"),
        ("rate(x[${__interval}])", "rate(x[5000ms])"),
        ("increase(x[$__range])", "increase(x[900000ms])"),
        ('x{role=~"$role",a=~"${instance:regex}"}', 'x{role=~".*",a=~".*"}'),
        ('label_replace(x, "node", "0$1", "node", "(.)")', 'label_replace(x, "node", "0$1", "node", "(.)")'),
    ],
)
def test_variables_are_filled_in(expression: str, filled: str) -> None:
    assert fill(expression, WINDOW, 5.0) == filled


@given(step_s=st.integers(1, 3_600), scrape_interval_s=st.integers(1, 60))
def test_a_rate_has_two_samples_and_leaves_none_out(step_s: int, scrape_interval_s: int) -> None:
    spanned_s = int(fill("$__rate_interval", Window(0.0, 1e5, step_s), scrape_interval_s).removesuffix("ms")) / 1000
    assert spanned_s >= max(2 * scrape_interval_s, step_s + scrape_interval_s)


def test_a_legend_names_the_labels_there_are() -> None:
    assert series_name("{{plane}} {{ kind }}{{gone}}", {"plane": "ub", "kind": "hand_over"}) == "ub hand_over"

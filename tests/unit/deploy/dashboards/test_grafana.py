"""Panels of any size are laid out without overlap, in reading order."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from deploy.dashboards.grafana import document
from deploy.dashboards.panels import COLUMNS, Dashboard, Row, words

SIZES = st.lists(st.tuples(st.integers(1, COLUMNS), st.integers(1, 9)), max_size=8)


@given(rows=st.lists(st.tuples(st.sampled_from(["", "Title"]), SIZES), max_size=4))
def test_panels_never_overlap(rows: list[tuple[str, list[tuple[int, int]]]]) -> None:
    made = tuple(Row(title, tuple(words("", "", width, height) for width, height in sizes)) for title, sizes in rows)
    shown = document(Dashboard("test", "Test", "", (), made))["panels"]
    assert [panel["id"] for panel in shown] == list(range(1, len(shown) + 1))
    cells = [
        {(x, y) for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])}
        for p in (panel["gridPos"] for panel in shown)
    ]
    assert all(not one & other for one, other in combinations(cells, 2))
    assert all(0 <= x < COLUMNS for cell in cells for x, _ in cell)
    places = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in shown]
    assert places == sorted(places)

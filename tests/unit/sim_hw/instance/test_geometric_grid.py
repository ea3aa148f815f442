"""Interpolation is exact on lines and at nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.instance.geometric_grid import NODES_PER_OCTAVE, GeometricGrid

GRID = GeometricGrid(lambda load: (3.0 + 2.0 * load, load * load), 0.5, 64.0)


@given(load=st.floats(0.5, 64.0))
def test_lines_are_met_and_curves_closely(load: float) -> None:
    line, square = GRID.at(load)
    assert line == pytest.approx(3.0 + 2.0 * load)
    # Between nodes of ratio r a square is overestimated by at most (r - 1)^2 / 4.
    ratio = 2.0 ** (1.0 / NODES_PER_OCTAVE)
    assert load * load * (1 - 1e-12) <= square <= load * load * (1 + (ratio - 1) ** 2 / 4 + 1e-12)


def test_beyond_the_last_node_it_goes_on_straight() -> None:
    assert GRID.loads[0] == 0.5
    assert GRID.loads[-1] == pytest.approx(64.0)
    assert GRID.at(1000.0)[0] == pytest.approx(2003.0)

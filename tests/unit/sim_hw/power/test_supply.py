"""Losses meet the published curve, never fall with load, and agree with a worked example."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.power.supply import EFFICIENCIES, supply_loss_w


@pytest.mark.parametrize(("load", "efficiency"), [(load, one.value) for load, one in EFFICIENCIES])
def test_the_curve_is_met(load: float, efficiency: float) -> None:
    output_w = load * 200_000
    assert output_w / (output_w + supply_loss_w(output_w, 200_000)) == pytest.approx(efficiency)


@given(load=st.floats(0, 1.5), more=st.floats(0, 0.5), capacity_w=st.floats(1e3, 1e7))
def test_more_load_never_loses_less_and_nothing_still_loses_some(load: float, more: float, capacity_w: float) -> None:
    loss_w = supply_loss_w(load * capacity_w, capacity_w)
    assert 0 < loss_w <= supply_loss_w((load + more) * capacity_w, capacity_w) * (1 + 1e-9)


def test_a_worked_example_of_a_gb300_rack_is_met_within_a_percent() -> None:
    # 71.8 kW behind, 74.9 kW before the supplies; installed are 132 or 264 kW, by source.
    for capacity_w in (132_000, 264_000):
        assert 71_800 + supply_loss_w(71_800, capacity_w) == pytest.approx(74_900, rel=0.01)

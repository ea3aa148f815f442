"""Laws of the clock: the full clock changes nothing, less never draws more, and what was measured is about met."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips.nvidia import H200
from sim_hw.power.chip_power import chip_watts
from sim_hw.power.clock_scaling import LEAST_CLOCK
from tests.unit.sim_hw.clocked_load import ClockedLoad, clocked_watts, step_stretch
from tests.unit.sim_hw.known import CHIPS

SHARES = st.floats(0, 1)
CLOCKS = st.floats(LEAST_CLOCK.value, 1)
LOADS = st.builds(ClockedLoad, st.sampled_from(CHIPS), SHARES, SHARES, SHARES)


@given(load=LOADS)
def test_the_full_clock_is_the_power_model_itself(load: ClockedLoad) -> None:
    assert clocked_watts(load, 1.0) == pytest.approx(chip_watts(load.chip, load.flop_share, load.hbm_share))
    assert step_stretch(load, 1.0) == 1.0


@given(load=LOADS, one=CLOCKS, other=CLOCKS)
def test_less_clock_never_draws_more_nor_is_quicker(load: ClockedLoad, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert load.chip.idle_w.value <= clocked_watts(load, low) <= clocked_watts(load, high) * (1 + 1e-12)
    assert step_stretch(load, low) >= step_stretch(load, high) >= 1.0


@given(clock=CLOCKS)
def test_arithmetic_stretches_by_the_clock_and_memory_does_not(clock: float) -> None:
    assert step_stretch(ClockedLoad(H200, 0.5, 0.1, 1.0), clock) == pytest.approx(1 / clock)
    assert step_stretch(ClockedLoad(H200, 0.1, 0.8, 0.0), clock) == 1.0


def test_a_low_clock_saves_of_a_small_decode_step_about_what_was_measured() -> None:
    load = ClockedLoad(H200, 0.01, 0.2, 0.02)

    def step_j(clock: float) -> float:
        return clocked_watts(load, clock) * step_stretch(load, clock)

    assert 1 - step_j(0.6) / step_j(1.0) == pytest.approx(0.32, abs=0.03)

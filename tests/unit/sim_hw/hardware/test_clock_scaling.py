"""Laws of the clock: full clock changes nothing, less clock never draws more, and a budget is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.errors import PowerBudgetError
from sim_hw.hardware.chip import Chip
from sim_hw.hardware.chip_power import chip_watts
from sim_hw.hardware.chips import ASCEND_910C, CHIPS, H200
from sim_hw.hardware.clock_scaling import LEAST_CLOCK, ClockedLoad, clocked_watts, step_stretch, throttle_to

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


@given(load=LOADS, share=SHARES)
def test_a_budget_is_kept_by_the_highest_clock_that_does(load: ClockedLoad, share: float) -> None:
    idle_w = load.chip.idle_w.value
    budget_w = idle_w + share * (load.chip.tdp_w.value - idle_w)
    throttle = throttle_to(load, budget_w)
    assert throttle.watts <= budget_w
    assert throttle.stretch >= 1.0
    if throttle.duty < 1.0:
        least_w = clocked_watts(load, LEAST_CLOCK.value)
        assert throttle.clock == LEAST_CLOCK.value
        assert throttle.duty * least_w + (1 - throttle.duty) * idle_w == pytest.approx(budget_w)
    elif throttle.clock < 1.0:
        assert throttle.watts == pytest.approx(clocked_watts(load, throttle.clock))
        assert clocked_watts(load, throttle.clock + 1e-6) > budget_w


@given(load=LOADS, one=SHARES, other=SHARES)
def test_a_larger_budget_never_slows(load: ClockedLoad, one: float, other: float) -> None:
    idle_w, span_w = load.chip.idle_w.value, load.chip.tdp_w.value - load.chip.idle_w.value
    low, high = (throttle_to(load, idle_w + share * span_w) for share in sorted((one, other)))
    assert low.stretch >= high.stretch * (1 - 1e-9)


@pytest.mark.parametrize("chip", CHIPS, ids=lambda one: one.name)
def test_a_budget_below_idle_names_both_numbers(chip: Chip) -> None:
    load = ClockedLoad(chip, 0.3, 0.3, 0.5)
    with pytest.raises(PowerBudgetError, match=rf"a budget of 10 W is below the {chip.idle_w.value:.0f} W"):
        throttle_to(load, 10)
    assert throttle_to(load, chip.idle_w.value).duty == 0.0


def test_a_low_clock_saves_of_a_small_decode_step_about_what_was_measured() -> None:
    load = ClockedLoad(H200, 0.01, 0.2, 0.02)

    def step_j(clock: float) -> float:
        return clocked_watts(load, clock) * step_stretch(load, clock)

    assert 1 - step_j(0.6) / step_j(1.0) == pytest.approx(0.32, abs=0.03)


def test_a_compute_bound_pass_pays_for_its_cap_in_time() -> None:
    load = ClockedLoad(ASCEND_910C, 0.53, 0.13, 0.74)
    throttle = throttle_to(load, 0.7 * clocked_watts(load, 1.0))
    assert 1.05 < throttle.stretch < 1 / 0.7

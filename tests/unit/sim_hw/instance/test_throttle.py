"""A budget is kept by passes and steps of any size, at full speed where there is enough, and more of it never slows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.instance.clock_levels import CLOCKS, decode_levels, prefill_levels
from sim_hw.instance.compiled_decode import compile_decode
from sim_hw.instance.compiled_prefill import compile_prefill
from sim_hw.instance.power import decode_power, prefill_power
from sim_hw.instance.throttle import STRETCH_BITS, DecodeThrottle, PrefillThrottle, StepLoad, stretched_ps
from sim_hw.models.published import find_model
from sim_hw.steps.default_points import default_decode_point, default_prefill_point

MODEL = find_model("deepseek-r1")
PREFILL, DECODE = default_prefill_point(CLOUDMATRIX384, MODEL), default_decode_point(CLOUDMATRIX384, MODEL)
PASSES, STEPS = PrefillThrottle(PREFILL), DecodeThrottle(DECODE)
PREFILL_COST, DECODE_COST = compile_prefill(PREFILL), compile_decode(DECODE, 48)
IDLE_W = prefill_power(PREFILL).draw.idle_w
DECODE_IDLE_W = decode_power(DECODE).draw.idle_w
SHARES = st.floats(0.001, 1.0)
"""Of the way from the draw without work to the cap."""


def step(requests: int, kv_tokens: int) -> StepLoad:
    """A step of evenly filled dies."""
    ps = DECODE_COST.form(requests, requests, kv_tokens).die_step_ps(requests, kv_tokens)
    return StepLoad(ps, requests * DECODE.num_ranks, kv_tokens * DECODE.num_ranks)


def step_watts(budget_w: float, load: StepLoad) -> tuple[float, float]:
    """(watts, picoseconds) of that step under the budget."""
    clock = STEPS.clock(budget_w, (load,))
    length_ps = stretched_ps(load.length_ps, clock.stretch)
    joules = clock.energy.joules(
        busy_ns=length_ps // 1000,
        steps=1,
        sequence_steps=load.sequences,
        kv_token_steps=load.kv_tokens,
        idle_ns=0,
    )
    return joules / (length_ps * 1e-12), length_ps


@given(share=SHARES, tokens=st.integers(1, 65536), context=st.integers(1, 100_000))
def test_a_pass_keeps_its_budget(share: float, tokens: int, context: int) -> None:
    cap_w = prefill_power(PREFILL).draw.cap_w
    budget_w, pairs = IDLE_W + share * (cap_w - IDLE_W), tokens * context
    full_ns = PREFILL_COST.prefill_ns(tokens, pairs, 0)
    found = PASSES.run(budget_w, full_ns, tokens, pairs)
    assert found.joules / (found.length_ns * 1e-9) <= budget_w
    assert found.length_ns >= full_ns
    assert PASSES.run(budget_w + 100, full_ns, tokens, pairs).length_ns <= found.length_ns
    full_j = prefill_power(PREFILL).joules(
        busy_ns=full_ns, passes=1, computed_tokens=tokens, attention_pairs=pairs, idle_ns=0
    )
    assert PASSES.run(1.001 * cap_w, full_ns, tokens, pairs) == type(found)(full_ns, full_j)


@given(share=SHARES, requests=st.integers(1, 48), context=st.integers(1, 10_000))
def test_a_step_keeps_its_budget(share: float, requests: int, context: int) -> None:
    cap_w = decode_power(DECODE).draw.cap_w
    budget_w, load = DECODE_IDLE_W + share * (cap_w - DECODE_IDLE_W), step(requests, requests * context)
    watts, length_ps = step_watts(budget_w, load)
    assert watts <= budget_w
    assert length_ps >= load.length_ps
    assert step_watts(budget_w + 100, load)[1] <= length_ps
    assert STEPS.clock(1.001 * cap_w, (load,)).stretch == 1 << STRETCH_BITS


@given(requests=st.integers(1, 47), context=st.integers(1, 10_000))
def test_one_more_sequence_never_lowers_the_energy_of_a_step(requests: int, context: int) -> None:
    joules = [watts * ps for watts, ps in (step_watts(1e9, step(n, n * context)) for n in (requests, requests + 1))]
    assert joules[0] <= joules[1] * (1 + 1e-6)


@pytest.mark.parametrize("clock", [0.1, 0.37, 0.8, 1.0])
def test_levels_are_the_power_at_their_clocks(clock: float) -> None:
    level = next(index for index, one in enumerate(CLOCKS) if one == pytest.approx(clock))
    prefill, decode = prefill_levels(PREFILL)[level], decode_levels(DECODE)[level]
    at_prefill, at_decode = prefill_power(PREFILL, clock), decode_power(DECODE, clock)
    for name in ("pass_j", "token_j", "pair_j"):
        assert getattr(prefill, name) == pytest.approx(getattr(at_prefill, name), rel=1e-6)
    for name in ("step_j", "sequence_j", "kv_token_j"):
        assert getattr(decode, name) == pytest.approx(getattr(at_decode, name), rel=1e-6)
    assert prefill.draw.floor_w == pytest.approx(at_prefill.draw.floor_w)


def test_watts_rise_from_level_to_level() -> None:
    powers = [level.draw.floor_w for level in decode_levels(DECODE)]
    assert all(low < high for low, high in pairwise(powers))


def test_a_range_goes_from_barely_working_to_the_heaviest_work() -> None:
    full = step(48, 48 * 4000)
    budgets = STEPS.budget_range(full)
    assert DECODE_IDLE_W < budgets.floor_w < budgets.peak_w <= decode_power(DECODE).draw.cap_w
    assert STEPS.clock(budgets.peak_w * 1.001, (full,)).stretch == 1 << STRETCH_BITS
    assert STEPS.clock(budgets.floor_w, (full,)).stretch > 1 << STRETCH_BITS

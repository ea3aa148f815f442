"""A budget is kept by steps that compute prompts beside sequences or not, and more of it never slows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.settings.load import load_settings
from deploy.system.drafting import drafting_of
from deploy.system.instance_physics import AggregatedPhysics, InstancePhysics
from sim_hw.instance.mixed_throttle import MixedLoad, MixedThrottle
from sim_hw.instance.throttle import STRETCH_BITS, StepLoad, stretched_ps

SETTINGS = load_settings(None, {"plan": "1x16a", "cache": "none", "power_cap": "400kW"})
PHYSICS: AggregatedPhysics = InstancePhysics(
    SETTINGS.hardware, SETTINGS.instances, drafting_of(SETTINGS), is_capped=True
).aggregated(16)
DRAW = PHYSICS.power.decode.draw
FULL = 1 << STRETCH_BITS


def throttle() -> MixedThrottle:
    assert PHYSICS.throttle is not None
    return PHYSICS.throttle


def mixed(tokens: int, context: int, requests: int) -> MixedLoad:
    """A step over so many tokens of prompts, beside as many sequences on each die, all with that context."""
    pairs, dies, kv_tokens = tokens * context, PHYSICS.num_dies, requests * context
    prefill_ns = PHYSICS.prefill.prefill_ns(tokens, pairs, 0)
    if not requests:
        return MixedLoad(1000 * prefill_ns, 1000 * prefill_ns, 0, tokens, pairs, 0, 0)
    decode_ps = PHYSICS.decode.form(requests, requests, kv_tokens).die_step_ps(requests, kv_tokens)
    length_ps = PHYSICS.mixed.mixed_ps(decode_ps, prefill_ns, requests * dies, tokens)
    return MixedLoad(length_ps, 1000 * prefill_ns, decode_ps, tokens, pairs, requests * dies, kv_tokens * dies)


def step_watts(budget_w: float, load: MixedLoad) -> tuple[float, int]:
    """(watts, picoseconds) of that step under the budget."""
    clock = throttle().mixed_clock(budget_w, load)
    length_ps = stretched_ps(load.length_ps, clock.stretch)
    joules = clock.energy.joules(
        busy_ns=length_ps // 1000,
        steps=0,
        sequence_steps=load.sequences,
        kv_token_steps=load.kv_tokens,
        passes=1,
        computed_tokens=load.computed_tokens,
        attention_pairs=load.attention_pairs,
        idle_ns=0,
    )
    return joules / (length_ps * 1e-12), length_ps


@given(
    share=st.floats(0.001, 1.0),
    tokens=st.integers(1, 16_384),
    context=st.integers(1, 10_000),
    requests=st.integers(0, 30),
)
def test_a_step_keeps_its_budget(share: float, tokens: int, context: int, requests: int) -> None:
    budget_w, load = DRAW.idle_w + share * (DRAW.cap_w - DRAW.idle_w), mixed(tokens, context, requests)
    watts, length_ps = step_watts(budget_w, load)
    assert watts <= budget_w
    assert length_ps >= load.length_ps
    assert step_watts(budget_w + 100, load)[1] <= length_ps
    assert throttle().mixed_clock(1.001 * DRAW.cap_w, load).stretch == FULL


@given(share=st.floats(0.05, 1.0), tokens=st.integers(100, 16_384))
def test_what_computes_prompts_alone_runs_as_a_pass_of_prefill_does(share: float, tokens: int) -> None:
    budget_w, load = DRAW.idle_w + share * (DRAW.cap_w - DRAW.idle_w), mixed(tokens, 1000, 0)
    run = throttle()._prefill.run(budget_w, load.length_ps // 1000, tokens, load.attention_pairs)
    watts, length_ps = step_watts(budget_w, load)
    assert length_ps == pytest.approx(1000 * run.length_ns, rel=1e-3)
    assert watts == pytest.approx(run.joules / (run.length_ns * 1e-9), rel=1e-3)


def test_runs_of_sequences_alone_are_those_of_a_decode_instance() -> None:
    loads = (StepLoad(20_000_000_000, 320, 600_000),)
    alone, of_both = throttle()._decode.clock(5_000, loads), throttle().clock(5_000, loads)
    assert (of_both.stretch, of_both.energy.decode) == (alone.stretch, alone.energy)


def test_a_range_goes_from_barely_working_to_the_heaviest_step() -> None:
    budgets = PHYSICS.budgets
    assert budgets is not None
    assert DRAW.idle_w < budgets.floor_w < budgets.peak_w <= DRAW.cap_w + 1
    heavy = mixed(SETTINGS.instances.aggregated_tokens_per_npu * 16, 4000, 30)
    assert throttle().mixed_clock(1.001 * budgets.peak_w, heavy).stretch == FULL
    assert throttle().mixed_clock(budgets.floor_w, heavy).stretch > FULL

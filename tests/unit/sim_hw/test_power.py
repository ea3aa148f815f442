"""Joules: bounded by idle and cap, additive, and where the published operating points land."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips import ASCEND_910C
from sim_hw.power import CAP_W, FLOOR_W, DecodePower, decode_power, npu_watts, prefill_power
from sim_hw.serving_cost import ExpertBalance, attention_pairs, decode_cost, prefill_cost

TDP_W = ASCEND_910C.tdp_w.value
PREFILL_NPUS = 16
DECODE_NPUS = 160


def prefill_share(balance: ExpertBalance) -> float:
    """Share of TDP of a saturated pass: 64 prompts of 4,096 on 16 NPUs."""
    tokens, pairs = 64 * 4096, 64 * attention_pairs(0, 4096)
    busy_ns = prefill_cost(PREFILL_NPUS, balance).prefill_ns(tokens, pairs, 0)
    joules = prefill_power(PREFILL_NPUS, balance).joules(busy_ns, tokens, pairs, 0)
    return joules / (busy_ns * 1e-9) / PREFILL_NPUS / TDP_W


def balanced_step_j(running_per_die: int, kv_per_sequence: int, power: DecodePower) -> tuple[float, int]:
    """Joules and nanoseconds of one step in which every die carries the same."""
    num_dies = 2 * DECODE_NPUS
    busy_ns = decode_cost().die_step_ps(running_per_die, running_per_die * kv_per_sequence) // 1000
    sequences = num_dies * running_per_die
    return power.joules(busy_ns, sequences, sequences * kv_per_sequence, 0), busy_ns


def decode_share(batch_per_npu: int) -> float:
    joules, busy_ns = balanced_step_j(batch_per_npu // 2, 4096, decode_power(DECODE_NPUS))
    return joules / (busy_ns * 1e-9) / DECODE_NPUS / TDP_W


def test_operating_points_are_the_stated_ones() -> None:
    assert prefill_share("default") == pytest.approx(0.66, abs=0.005)
    assert prefill_share("perfect") == pytest.approx(0.72, abs=0.005)
    assert decode_share(96) == pytest.approx(0.76, abs=0.005)
    assert decode_share(8) == pytest.approx(0.64, abs=0.005)


def test_decode_joules_follow_the_form_of_the_utilisation_model() -> None:
    cost, batch, kv = decode_cost(), 96, 4096
    step_s = cost.die_step_ps(batch // 2, batch // 2 * kv) * 1e-12
    flop_share = batch * 2 * 73.249e9 / 1504e12 / step_s + batch * kv * 61 * 2 * 278_528 / 707.8e12 / step_s
    hbm_share = (2 * 17.452e9 + batch * kv * 71_424) / 3.2e12 / step_s
    assert decode_share(batch) * TDP_W == pytest.approx(npu_watts(flop_share, hbm_share), rel=1e-3)


def test_watts_run_from_the_floor_to_the_cap() -> None:
    assert npu_watts(0, 0) == FLOOR_W.value
    assert npu_watts(1, 1) == pytest.approx(0.985 * TDP_W) == CAP_W
    assert npu_watts(0.2, 0.1) < npu_watts(0.3, 0.1) < npu_watts(0.3, 0.2)


def test_an_idle_instance_draws_idle_power() -> None:
    assert decode_power(DECODE_NPUS).joules(0, 0, 0, 10**9) == pytest.approx(DECODE_NPUS * 168)
    assert prefill_power(PREFILL_NPUS).joules(0, 0, 0, 10**9) == pytest.approx(PREFILL_NPUS * 168)


@given(running=st.integers(0, 48), kv=st.integers(1, 11_000))
def test_decode_stays_between_floor_and_cap_without_touching_it(running: int, kv: int) -> None:
    joules, busy_ns = balanced_step_j(running, kv, decode_power(DECODE_NPUS))
    watts = joules / (busy_ns * 1e-9) / DECODE_NPUS
    assert FLOOR_W.value < watts < CAP_W


@given(prompts=st.integers(1, 64), prompt_tokens=st.integers(1, 4096), cached=st.integers(0, 100_000))
def test_prefill_stays_between_floor_and_cap_without_touching_it(prompts: int, prompt_tokens: int, cached: int) -> None:
    tokens, pairs = prompts * prompt_tokens, prompts * attention_pairs(cached, prompt_tokens)
    busy_ns = prefill_cost(PREFILL_NPUS).prefill_ns(tokens, pairs, prompts * cached)
    watts = prefill_power(PREFILL_NPUS).joules(busy_ns, tokens, pairs, 0) / (busy_ns * 1e-9) / PREFILL_NPUS
    assert FLOOR_W.value < watts < CAP_W


@given(first=st.integers(0, 48), second=st.integers(0, 48))
def test_joules_add_over_spans(first: int, second: int) -> None:
    power, num_dies, kv = decode_power(DECODE_NPUS), 2 * DECODE_NPUS, 4096
    spans = [balanced_step_j(running, kv, power) for running in (first, second)]
    sequences = num_dies * (first + second)
    together_j = power.joules(sum(busy_ns for _, busy_ns in spans), sequences, sequences * kv, 500)
    apart_j = sum(joules for joules, _ in spans) + power.joules(0, 0, 0, 500)
    assert together_j == pytest.approx(apart_j, rel=1e-9)


def test_more_work_in_more_time_takes_more_joules() -> None:
    power = decode_power(DECODE_NPUS)
    joules = [balanced_step_j(running, 4096, power)[0] for running in range(49)]
    assert joules == sorted(joules)


def test_never_above_the_cap_whatever_the_totals_say() -> None:
    power = decode_power(DECODE_NPUS)
    assert power.joules(10**9, 10**12, 10**12, 0) == pytest.approx(DECODE_NPUS * CAP_W)

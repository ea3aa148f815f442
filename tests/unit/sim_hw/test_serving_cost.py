"""Costs against published rows, and the laws that any cost must keep.

`ROWS` copies the CloudMatrix rows of prefill and decode; all are from arXiv 2506.12708 v3.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.serving_cost import (
    DecodeCost,
    ExpertBalance,
    PrefillCost,
    attention_pairs,
    decode_cost,
    prefill_cost,
)

ROWS = {
    "cm_prefill_default": 5655.0,  # input tok/s per NPU, table 2
    "cm_prefill_perfect_eplb": 6688.0,  # input tok/s per NPU, table 2; a projection
    "cm_ems_reuse_gain": 1.42,  # throughput at 50 % reuse over that at 12.5 %, section 5.4
    "cm_decode_b96_tpot": 49.4e-3,  # s, tables 3 and 4
    "cm_decode_b96_tput": 1943.0,  # output tok/s per NPU, tables 3 and 4
    "cm_decode_b8_tpot": 14.9e-3,  # s, table 4
    "cm_decode_b8_tput": 538.0,  # output tok/s per NPU, table 4
    "cm_layer_mtp_b96": 1260e-6,  # s per layer, section 5.4.2
    "cm_layer_no_mtp_b96": 874e-6,  # s per layer, section 5.4.2
}
BATCH_TOKENS_PER_NPU = 16_384
PROMPT_TOKENS = 4096
DECODE_KV_TOKENS = 4096
LAYERS = 61

COUNTS = st.integers(0, 2**20)
PAIRS = st.integers(0, 2**33)


def published_pass_s(reuse: float = 0.0, balance: ExpertBalance = "default", num_npus: int = 16) -> float:
    """A pass of 16,384 tokens per NPU of prompts of 4,096, `reuse` of each cached."""
    prompts = num_npus * BATCH_TOKENS_PER_NPU // PROMPT_TOKENS
    cached = int(reuse * PROMPT_TOKENS)
    computed = PROMPT_TOKENS - cached
    pairs = prompts * attention_pairs(cached, computed)
    return prefill_cost(num_npus, balance).prefill_ns(prompts * computed, pairs, prompts * cached) * 1e-9


def step_s(batch_per_npu: int, mtp: bool = True) -> float:
    running = batch_per_npu // 2
    return decode_cost(mtp).die_step_ps(running, running * DECODE_KV_TOKENS) * 1e-12


def tpot_s(batch_per_npu: int) -> float:
    cost = decode_cost()
    return step_s(batch_per_npu) * cost.tokens_per_step_den / cost.tokens_per_step_num


def predictions() -> dict[str, float]:
    return {
        "cm_prefill_default": BATCH_TOKENS_PER_NPU / published_pass_s(),
        "cm_prefill_perfect_eplb": BATCH_TOKENS_PER_NPU / published_pass_s(balance="perfect"),
        "cm_ems_reuse_gain": published_pass_s(reuse=0.125) / published_pass_s(reuse=0.5),
        "cm_decode_b96_tpot": tpot_s(96),
        "cm_decode_b96_tput": 96 / tpot_s(96),
        "cm_decode_b8_tpot": tpot_s(8),
        "cm_decode_b8_tput": 8 / tpot_s(8),
        "cm_layer_mtp_b96": step_s(96) / LAYERS,
        "cm_layer_no_mtp_b96": step_s(96, mtp=False) / LAYERS,
    }


@pytest.mark.parametrize("row", ROWS)
def test_published_rows_within_10_percent(row: str) -> None:
    assert predictions()[row] == pytest.approx(ROWS[row], rel=0.10)


FITTED = [row for row in ROWS if "layer" not in row]


@pytest.mark.parametrize("row", FITTED)
def test_fitted_constants_still_solve_the_rows_that_fixed_them(row: str) -> None:
    assert predictions()[row] == pytest.approx(ROWS[row], rel=0.003)


def test_layer_residuals_are_the_stated_ones() -> None:
    predicted = predictions()
    assert predicted["cm_layer_mtp_b96"] / ROWS["cm_layer_mtp_b96"] - 1 == pytest.approx(0.093, abs=0.001)
    assert predicted["cm_layer_no_mtp_b96"] / ROWS["cm_layer_no_mtp_b96"] - 1 == pytest.approx(-0.025, abs=0.001)


def test_decode_attention_slope_is_physics() -> None:
    # 2 x 128 heads x (576 + 512) x 2 rows x 61 layers over 0.654 x 353.9 TFLOP/s x 16/24.
    assert decode_cost().kv_ps == pytest.approx(220_222, abs=1)
    assert decode_cost().kv_ps == pytest.approx(2 * decode_cost(mtp=False).kv_ps, abs=1)


def test_tokens_per_step() -> None:
    with_mtp, without = decode_cost(), decode_cost(mtp=False)
    assert (with_mtp.tokens_per_step_num, with_mtp.tokens_per_step_den) == (17, 10)
    assert (without.tokens_per_step_num, without.tokens_per_step_den) == (1, 1)


@given(computed=COUNTS, pairs=PAIRS, cached=COUNTS, more=st.integers(1, 2**20))
def test_a_pass_never_gets_shorter_with_more_work(computed: int, pairs: int, cached: int, more: int) -> None:
    cost = prefill_cost(16)
    base_ns = cost.prefill_ns(computed, pairs, cached)
    assert base_ns > 0
    assert cost.prefill_ns(computed + more, pairs, cached) > base_ns
    assert cost.prefill_ns(computed, pairs + more, cached) >= base_ns
    assert cost.prefill_ns(computed, pairs, cached + more) > base_ns


@given(running=st.integers(0, 96), kv_tokens=COUNTS, more=st.integers(1, 2**20))
def test_a_step_gets_longer_with_sequences_and_kv(running: int, kv_tokens: int, more: int) -> None:
    cost = decode_cost()
    base_ps = cost.die_step_ps(running, kv_tokens)
    assert cost.die_step_ps(running + more, kv_tokens) > base_ps
    assert cost.die_step_ps(running, kv_tokens + more) > base_ps


@given(context=st.integers(0, 10_000), first=st.integers(0, 10_000), second=st.integers(0, 10_000))
def test_cutting_a_prompt_into_chunks_keeps_its_pairs(context: int, first: int, second: int) -> None:
    whole = attention_pairs(context, first + second)
    assert attention_pairs(context, first) + attention_pairs(context + first, second) == whole


def test_a_cached_token_costs_less_than_a_computed_one() -> None:
    cost = prefill_cost(16, "perfect")
    assert 0 < cost.cached_token_s < cost.token_s


@pytest.mark.parametrize("num_npus", [8, 16, 32])
def test_slopes_are_inverse_to_the_size_of_the_instance(num_npus: int) -> None:
    one, two = prefill_cost(num_npus), prefill_cost(2 * num_npus)
    assert one.token_s == pytest.approx(2 * two.token_s)
    assert one.pair_s == pytest.approx(2 * two.pair_s)
    assert one.cached_token_s == pytest.approx(2 * two.cached_token_s)
    assert one.fixed_s > two.fixed_s


def test_perfect_balance_changes_only_the_tokens() -> None:
    default, perfect = prefill_cost(16), prefill_cost(16, "perfect")
    expected = PrefillCost(default.fixed_s, perfect.token_s, default.pair_s, default.cached_token_s)
    assert perfect == expected
    assert perfect.token_s < default.token_s


def test_an_unknown_balance_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="neither 'default' nor 'perfect'"):
        prefill_cost(16, "ideal")  # type: ignore[arg-type]


def test_decode_cost_is_integers() -> None:
    cost: DecodeCost = decode_cost()
    fields = (cost.fixed_ps, cost.sequence_ps, cost.kv_ps, cost.tokens_per_step_num, cost.tokens_per_step_den)
    assert all(isinstance(value, int) and value > 0 for value in fields)

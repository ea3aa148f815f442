"""How ranks share layers: what comes out even, who refuses, and what moves between them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H20_CLUSTER
from sim_hw.errors import OperatingPointError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B
from sim_hw.operators.attention import shared_parameters
from sim_hw.operators.collectives import ALL_REDUCE_FIXED_S, all_reduce_s, far_share, package_share
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.operators.operator import Operator
from sim_hw.operators.sharing import sharing_of
from sim_hw.steps.default_points import default_decode_point, default_prefill_point

DECODE = default_decode_point(H20_CLUSTER, DEEPSEEK_R1)
PREFILL = default_prefill_point(H20_CLUSTER, DEEPSEEK_R1)
DENSE = default_prefill_point(H20_CLUSTER, LLAMA_3_1_70B)

FIXED_S = ALL_REDUCE_FIXED_S.value


@pytest.mark.parametrize(
    ("point", "fields", "message"),
    [
        (DECODE, {"tp": 3}, "3 ranks cannot share the 128 heads of deepseek-r1 evenly: change --tp to 2"),
        (DECODE, {"tp": 0}, "--tp 0 shares nothing: give 1 or more"),
        (DECODE, {"tp": 32}, "groups of 32 ranks, 16 of them work on a layer: change --tp to divide that"),
        (
            DECODE,
            {"expert_tp": 3},
            "share the 2048 columns of an expert of deepseek-r1 evenly: change --expert-tp to 2",
        ),
        (DECODE, {"expert_tp": 2}, "experts over 16 x 2 ranks, 16 of them work on a layer: lower --ep to 8"),
        (DECODE, {"pp": 2, "ep": 8}, "--pp 2 is of prefill passes: leave it out of decode"),
        (DECODE, {"cp": 2}, "--cp 2 is of prefill passes: leave it out of decode"),
        (PREFILL, {"pp": 62}, "62 pipeline stages, deepseek-r1 has 61 layers: lower --pp to 61"),
        (PREFILL, {"pp": 3}, "16 ranks do not make 3 equal pipeline stages: change --pp to 2"),
        (PREFILL, {"pp": 2}, "experts over 16 ranks, 8 of them work on a layer: lower --ep to 8"),
        (PREFILL, {"cp": 3}, "groups of 1 x 3 ranks, 16 of them work on a layer: change --cp"),
        (PREFILL, {"tp": 8, "cp": 4}, "groups of 8 x 4 ranks, 16 of them work on a layer: change --tp or --cp"),
        (DENSE, {"expert_tp": 2}, "experts over 2 ranks each, llama-3.1-70b has none: leave --expert-tp out"),
        (PREFILL, {"reserve_share": 1.5}, "reserve 1.5 is no share of memory: give --reserve 0 to 1"),
    ],
)
def test_what_does_not_come_out_even_is_refused_with_numbers_and_mend(
    point: DecodePoint | PrefillPoint, fields: dict[str, Any], message: str
) -> None:
    point.check()
    with pytest.raises(OperatingPointError) as caught:
        replace(point, **fields).check()
    assert message in str(caught.value)


def wait_s(operators: tuple[Operator, ...]) -> float:
    return sum(one.wait_s for one in operators)


def test_data_parallel_attention_moves_nothing() -> None:
    sharing = sharing_of(DECODE, FIXED_S)
    assert sharing.after_attention(64) == sharing.around_dense(64) == sharing.around_experts(64) == ()
    assert (sharing.rank_rows(64), sharing.dense_rows(64), sharing.dense) == (64, 64, 1)


@given(st.sampled_from([2, 4, 8]), st.floats(1, 1e5))
def test_scattered_rows_cost_the_bytes_of_an_all_reduce_and_one_call_more(ranks: int, rows: float) -> None:
    scattered = wait_s(sharing_of(replace(DECODE, tp=ranks), FIXED_S).after_attention(rows))
    reduced_s = all_reduce_s(H20_CLUSTER, ranks, 2.0 * rows * DEEPSEEK_R1.hidden)
    assert scattered == pytest.approx(2 * FIXED_S + reduced_s)


def test_attention_over_all_ranks_of_the_experts_ends_blocks_in_all_reduces() -> None:
    joined = sharing_of(replace(DECODE, num_npus=8, tp=8, ep=4, expert_tp=2), FIXED_S)
    assert joined.is_joined
    assert (joined.dense, joined.dense_rows(64), joined.rank_rows(64)) == (8, 64, 8)
    reduced_s = FIXED_S + all_reduce_s(H20_CLUSTER, 8, 2.0 * 64 * 7168)
    for operators in (joined.after_attention(64), joined.around_dense(64), joined.around_experts(64)):
        assert wait_s(operators) == pytest.approx(reduced_s)


def test_an_expert_over_two_ranks_gathers_their_rows() -> None:
    shared = sharing_of(replace(DECODE, ep=8, expert_tp=2), FIXED_S)
    assert not shared.is_joined
    assert shared.dense_rows(64) == 128
    # Either of the two reads and writes the 64 rows of the other, in BF16.
    assert wait_s(shared.around_experts(64)) == pytest.approx(2 * (FIXED_S + 64 * 7168 * 2 / 450e9))


def test_latents_and_few_key_heads_are_on_each_rank() -> None:
    weights, whole = (shared_parameters(DEEPSEEK_R1, ranks) for ranks in (8, 1))
    assert {name: whole[name] / weights[name] for name in whole} == {
        "q_down": 1,
        "q_up": 8,
        "kv_down": 1,
        "kv_up": 8,
        "output": 8,
    }
    grouped, all_heads = (shared_parameters(LLAMA_3_1_70B, ranks) for ranks in (16, 1))
    assert {name: all_heads[name] / grouped[name] for name in grouped} == {"q": 16, "k": 8, "v": 8, "output": 16}


def test_neighbours_on_a_package_share_an_expert_without_the_wire() -> None:
    assert package_share(CLOUDMATRIX384, 32) == 2 / 32
    assert package_share(CLOUDMATRIX384, 16, 2) == 1 / 16
    assert far_share(CLOUDMATRIX384, 32) == 0.5

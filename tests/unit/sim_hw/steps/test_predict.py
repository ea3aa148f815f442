"""Predictions: identities between their fields, the batch search, dispatch and combine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H100_CLUSTER, H800_CLUSTER
from sim_hw.errors import DoesNotFitError, OperatingPointError, TargetError
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.error_bar import BORROWED_ERROR
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import largest_fitting_batch
from sim_hw.steps.predict import largest_batch, predict_decode, predict_operator, predict_prefill

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)


def test_a_decode_answer_is_consistent() -> None:
    answer = predict_decode(DECODE)
    assert answer.tokens_per_s_per_npu == pytest.approx(96 / answer.tpot_s)
    assert answer.iteration_s == pytest.approx(1.7 * answer.tpot_s)
    assert sum(answer.exposed_s.values()) == pytest.approx(answer.iteration_s)
    assert sum(answer.memory_bytes_per_die.values()) < 64e9
    assert 0 < answer.compute_share < 1
    assert 0 < answer.memory_share < 1
    # Weights, which memory bounds, are less of the step of a larger batch.
    assert predict_decode(replace(DECODE, batch_per_npu=8)).clock_bound_share < answer.clock_bound_share < 1
    assert answer.is_split


def test_a_prefill_answer_is_consistent() -> None:
    answer = predict_prefill(PREFILL)
    assert answer.tokens_per_s_per_npu == pytest.approx(16_384 / answer.pass_s)
    assert answer.ttft_s == answer.pass_s
    assert sum(answer.exposed_s.values()) == pytest.approx(answer.pass_s)
    # 73 GFLOP of products and 10 of attention a token, against a pass of 2.9 s.
    assert 0.3 < answer.compute_share < 0.4
    assert 0 < answer.memory_share < 1
    assert answer.compute_share < answer.clock_bound_share < 1


@settings(max_examples=20)
@given(slo_ms=st.integers(14, 120), context=st.integers(256, 16_384))
def test_the_largest_batch_meets_the_target_and_the_next_does_not(slo_ms: int, context: int) -> None:
    point = replace(DECODE, context_tokens=context)
    found = largest_batch(point, slo_ms * 1e-3)
    assert predict_decode(found).tpot_s <= slo_ms * 1e-3
    more = replace(found, batch_per_npu=found.batch_per_npu + 1)
    assert found.batch_per_npu == largest_fitting_batch(point) or predict_decode(more).tpot_s > slo_ms * 1e-3


def test_the_published_targets_find_the_published_batches() -> None:
    # Published: 8 at 15 ms; 96 at 49.4 ms.
    assert largest_batch(DECODE, 15e-3).batch_per_npu == 8
    assert largest_batch(DECODE, 50e-3).batch_per_npu == pytest.approx(96, abs=6)


def test_a_target_out_of_reach() -> None:
    with pytest.raises(TargetError, match=r"TPOT is 1\d\.\d ms even at a batch of 1, 5\.0 ms asked for: raise --tpot"):
        largest_batch(DECODE, 5e-3)
    with pytest.raises(DoesNotFitError):
        largest_batch(replace(DECODE, num_npus=8, ep=16), 50e-3)


def test_a_published_row_of_combine() -> None:
    answer = predict_operator("combine", CLOUDMATRIX384, 256, 128)
    assert answer.latency_s == pytest.approx(149e-6, rel=0.025)
    assert answer.bytes_per_s == pytest.approx(103e9, rel=0.025)


def test_a_collective_between_no_ranks_or_of_nothing() -> None:
    with pytest.raises(OperatingPointError, match="2 to 768 ranks, not 1: change --ep"):
        predict_operator("dispatch", CLOUDMATRIX384, 1, 128)
    with pytest.raises(OperatingPointError, match="0 tokens per rank"):
        predict_operator("dispatch", H800_CLUSTER, 8, 0)


def test_borrowed_numbers_carry_a_wider_bar() -> None:
    own = default_decode_point(H100_CLUSTER, DEEPSEEK_R1)
    borrowed = replace(own, cluster=replace(H100_CLUSTER, chip=replace(H100_CLUSTER.chip, name="mine")))
    assert predict_decode(own).error_bar < BORROWED_ERROR.value <= predict_decode(borrowed).error_bar

"""Laws of steps and passes whose ranks share tensors, stages or prompts, and where more ranks stop paying."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H20_CLUSTER, H200_CLUSTER
from sim_hw.clusters.supernode import Overlap
from sim_hw.errors import OperatingPointError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance, PrefillPoint
from sim_hw.steps.decode_step import decode_step
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import decode_memory, prefill_memory
from sim_hw.steps.predict import predict_prefill
from sim_hw.steps.prefill_pass import MICROBATCHES, PrefillModel, pass_tokens, prefill_pass
from sim_hw.steps.work import decode_work, prefill_work

CLUSTERS = st.sampled_from([CLOUDMATRIX384, H20_CLUSTER, GB200_NVL72])
MODELS = st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B])
RANKS = st.sampled_from([1, 2, 4, 8])

R1_DECODE = default_decode_point(H20_CLUSTER, DEEPSEEK_R1)
R1_PREFILL = default_prefill_point(H20_CLUSTER, DEEPSEEK_R1)


@st.composite
def decode_points(draw: st.DrawFn) -> DecodePoint:
    cluster, model = draw(CLUSTERS), draw(MODELS)
    num_npus, tp, expert_tp = draw(st.sampled_from([8, 16, 32])), draw(RANKS), draw(RANKS)
    ranks = num_npus * cluster.chip.num_dies.count
    layout = {"ep": ranks // expert_tp, "expert_tp": expert_tp} if model.experts else {"ep": tp}
    point = replace(
        default_decode_point(cluster, model),
        num_npus=num_npus,
        tp=ranks if model.experts and draw(st.booleans()) else tp,
        **layout,
        batch_per_npu=draw(st.integers(2, 64)),
        overlap=draw(st.sampled_from(Overlap)),
    )
    return checked(point)


@st.composite
def prefill_points(draw: st.DrawFn) -> PrefillPoint:
    cluster, model, pp = draw(CLUSTERS), draw(MODELS), draw(RANKS)
    num_npus, expert_tp = draw(st.sampled_from([16, 32])), draw(RANKS)
    tp = draw(RANKS)
    ranks = num_npus * cluster.chip.num_dies.count // pp
    layout = {"ep": max(1, ranks // expert_tp), "expert_tp": expert_tp} if model.experts else {"ep": tp}
    point = replace(
        default_prefill_point(cluster, model),
        num_npus=num_npus,
        pp=pp,
        tp=tp,
        cp=draw(RANKS),
        **layout,
        batch_tokens_per_npu=draw(st.integers(256, 32_768)),
        prompt_tokens=draw(st.integers(16, 32_768)),
        overlap=draw(st.sampled_from(Overlap)),
    )
    return checked(point)


AnyPoint = TypeVar("AnyPoint", DecodePoint, PrefillPoint)


def checked(point: AnyPoint) -> AnyPoint:
    """Layouts that do not come out even are no examples."""
    try:
        point.check()
    except OperatingPointError:
        assume(False)
    return point


def step_s(point: DecodePoint) -> float:
    return decode_step(point).step.seconds


def pass_s(point: PrefillPoint) -> float:
    return prefill_pass(point).whole.seconds


def at_most(less: float, more: float) -> bool:
    """Up to rounding."""
    return less <= more * (1 + 1e-9)


@given(point=decode_points(), more=st.integers(1, 64))
def test_a_step_of_any_layout_is_whole_and_grows(point: DecodePoint, more: int) -> None:
    step = decode_step(point).step
    assert step.seconds > 0
    assert sum(step.exposed_s.values()) == pytest.approx(step.seconds)
    assert at_most(step.seconds, step_s(replace(point, batch_per_npu=point.batch_per_npu + more)))
    assert at_most(step.seconds, step_s(replace(point, context_tokens=point.context_tokens + 64 * more)))


@given(point=prefill_points(), more=st.floats(1.0, 8.0))
def test_a_pass_of_any_layout_is_whole_and_grows(point: PrefillPoint, more: float) -> None:
    whole = prefill_pass(point).whole
    assert whole.seconds > 0
    assert sum(whole.exposed_s.values()) == pytest.approx(whole.seconds)
    tokens = int(more * point.batch_tokens_per_npu)
    assert at_most(whole.seconds, pass_s(replace(point, batch_tokens_per_npu=tokens)))


@given(point=decode_points())
def test_ranks_share_the_products_of_a_step_and_add_none(point: DecodePoint) -> None:
    """But for the gate and what turns into latents, which each of the ranks that share attention does for all rows."""
    ranks = point.ep * point.expert_tp
    alone = replace(point, tp=None, expert_tp=1, ep=ranks) if point.model.experts else replace(point, tp=1, ep=1)
    work, least = (decode_work(one, is_split=False).compute_s for one in (point, alone))
    assert least * (1 - 1e-9) <= work <= least * (1 + 0.035 * ((point.tp or 1) - 1) + 1e-9)


@given(point=decode_points())
def test_ranks_that_share_tensors_hold_fewer_weights(point: DecodePoint) -> None:
    assume(point.model.experts)
    alone = replace(point, tp=None, expert_tp=1)
    shared, whole = (decode_memory(one).parts_bytes for one in (point, alone))
    assert shared["weights_attention"] <= whole["weights_attention"]
    assert shared["weights_vocabulary"] == pytest.approx(whole["weights_vocabulary"] / (point.tp or 1))
    assert shared["kv"] == pytest.approx(
        whole["kv"] * (point.tp or 1) / min(point.tp or 1, point.model.attention.cached_heads)
    )


def test_a_pipeline_stage_does_its_part_of_the_layers_for_all_tokens_of_the_pass() -> None:
    whole, halves = R1_PREFILL, replace(R1_PREFILL, pp=2, ep=8)
    assert pass_tokens(halves).computed == 2 * pass_tokens(whole).computed
    assert prefill_work(halves).compute_s == pytest.approx(prefill_work(whole).compute_s, rel=1e-3)
    one, two = prefill_memory(whole).parts_bytes, prefill_memory(halves).parts_bytes
    assert two["kv"] == pytest.approx(one["kv"] * 2 * 31 / 61)
    assert two["weights_attention"] == pytest.approx(one["weights_attention"] * 31 / 61)


def test_a_bubble_is_that_of_the_closed_form() -> None:
    point = replace(R1_PREFILL, pp=4, ep=4)
    found = prefill_pass(point).whole
    bubble_s = found.exposed_s["pipeline_bubble"]
    # (P - 1) of (M + P - 1) parts are idle, M a power of two.
    count = 3 * (found.seconds / bubble_s - 1.0)
    assert count == pytest.approx(round(count))
    assert round(count) in MICROBATCHES
    few = replace(point, batch_tokens_per_npu=64)
    assert prefill_pass(few).whole.exposed_s["pipeline_bubble"] / pass_s(few) > bubble_s / found.seconds


def test_more_ranks_on_a_prompt_answer_it_sooner_and_serve_no_more() -> None:
    long = replace(R1_PREFILL, prompt_tokens=131_072)
    answers = [predict_prefill(replace(long, cp=parts)) for parts in (1, 2, 4, 8)]
    times = [one.ttft_s for one in answers]
    assert times == sorted(times, reverse=True)
    assert times[0] > 6 * times[-1]
    rates = [one.tokens_per_s_per_npu for one in answers]
    assert rates == sorted(rates, reverse=True)


def test_a_part_of_a_prompt_reads_the_keys_of_the_others() -> None:
    point = replace(R1_PREFILL, cp=4)
    model = PrefillModel(point, fit_of(point.chip), expert_layout(point))
    tokens = pass_tokens(point)
    gathered = next(one for one in model.attention(tokens) if one.name == "context_gather")
    # FP8 latents of the 3 x 16,384 tokens that the three others have.
    assert gathered.wait_s == pytest.approx(3 * 16_384 * 576 / 450e9)


def test_sharing_attention_stops_paying_where_latents_are_long_and_requests_many() -> None:
    """A latent cannot be split: each of the ranks reads that of all requests of the group."""
    few = replace(R1_DECODE, batch_per_npu=1, context_tokens=512, mtp_k=0, eplb=ExpertBalance.PERFECT)
    many = replace(few, batch_per_npu=32, context_tokens=16_384)
    assert step_s(replace(few, tp=2)) < step_s(few)
    assert step_s(replace(many, tp=2)) > step_s(many)


def test_tensor_parallelism_pays_within_a_node_and_not_across_nodes() -> None:
    dense = replace(default_prefill_point(H200_CLUSTER, LLAMA_3_1_70B), num_npus=16)
    within, across = (predict_prefill(replace(dense, tp=tp, ep=tp)) for tp in (8, 16))
    assert across.tokens_per_s_per_npu < within.tokens_per_s_per_npu / 2
    assert predict_prefill(replace(dense, tp=1, ep=1)).tokens_per_s_per_npu > within.tokens_per_s_per_npu

"""What lies in HBM, against sums by hand, and the errors when it does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import DoesNotFitError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, PrefillPoint
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.die_memory import (
    DieMemory,
    check_decode,
    check_prefill,
    decode_memory,
    largest_fitting_batch,
    prefill_memory,
)
from tests.unit.sim_hw.known import SUPERNODES

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
PREFILL = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)


def test_published_decode_instance() -> None:
    parts = decode_memory(DECODE).parts_bytes
    assert parts["weights_attention"] == pytest.approx(11.4e9, rel=2e-3)  # data-parallel: all of it, INT8
    assert parts["weights_experts"] == 58 * (44_040_192 + 7168 * 256)  # one expert and the gate in each layer
    assert parts["buffers"] == 645 * 2**20  # 320 ranks x 96 rows x 21.5 KiB
    assert parts["kv"] == 48 * 4096 * 71_424
    assert decode_memory(DECODE).fits


def test_published_prefill_instance_splits_heads_and_holds_all_latents() -> None:
    parts = prefill_memory(PREFILL).parts_bytes
    assert parts["weights_experts"] == 58 * (10 * 44_040_192 + 7168 * 256)
    assert parts["weights_attention"] < decode_memory(DECODE).parts_bytes["weights_attention"]
    assert parts["kv"] == 32 * 8192 * 70_272
    assert prefill_memory(PREFILL).fits


def test_a_dense_model_is_split_over_its_ranks() -> None:
    point = default_decode_point(CLOUDMATRIX384, LLAMA_3_1_70B)
    parts = decode_memory(point).parts_bytes
    weights = sum(value for kind, value in parts.items() if kind.startswith("weights"))
    assert weights == pytest.approx(70.55e9 / 8, rel=1e-3)
    requests = point.requests_per_rank * 8  # of the eight ranks together, one KV head on each
    assert parts["kv"] == requests * 4096 * LLAMA_3_1_70B.kv_bytes_per_token(mtp=False) / 8


@given(
    cluster=st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72]),
    model=st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]),
    context=st.integers(1, 40_000),
)
def test_the_largest_fitting_batch_is_tight(cluster: Supernode, model: ModelShape, context: int) -> None:
    point = replace(default_decode_point(cluster, model), context_tokens=context)
    batch = largest_fitting_batch(point)
    assert batch == 0 or check_decode(replace(point, batch_per_npu=batch)).fits
    too_many = replace(point, batch_per_npu=batch + point.chip.num_dies.count)
    assert not decode_memory(too_many).fits


def fixes_of(error: DoesNotFitError) -> list[dict[str, int]]:
    """What the error says would do instead, each as the flags to change."""
    texts = re.split(r", | or ", str(error).split(": ", 1)[1])
    found = [{flag: int(number) for flag, number in re.findall(r"--([a-z-]+) to (\d+)", text)} for text in texts]
    return [one for one in found if one]


FIELDS = {
    "batch": "batch_per_npu",
    "context": "context_tokens",
    "batch-tokens": "batch_tokens_per_npu",
    "npus": "num_npus",
    "ep": "ep",
    "slots-per-rank": "slots_per_rank",
}

AnyPoint = TypeVar("AnyPoint", DecodePoint, PrefillPoint)


def each_fix_fits(
    point: AnyPoint, check: Callable[[AnyPoint], DieMemory], memory_of: Callable[[AnyPoint], DieMemory]
) -> bool:
    """Whether `point` fits, or each fix that the error names does, of which there are some unless it says so."""
    if memory_of(point).fits:
        return check(point).fits
    with pytest.raises(DoesNotFitError) as caught:
        check(point)
    fixes = fixes_of(caught.value)
    changed = [replace(point, **{FIELDS[flag]: number for flag, number in fix.items()}) for fix in fixes]
    for one in changed:
        one.check()
    return all(memory_of(one).fits for one in changed) and (bool(fixes) or "a smaller model" in str(caught.value))


CLUSTERS = st.sampled_from(SUPERNODES)
MODELS = st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B])


@given(CLUSTERS, MODELS, st.integers(1, 72), st.integers(1, 2000), st.integers(1, 40_000))
def test_every_fix_of_a_decode_point_that_does_not_fit_makes_it_fit(
    cluster: Supernode, model: ModelShape, npus: int, batch: int, context: int
) -> None:
    ranks = npus * cluster.chip.num_dies.count
    default = default_decode_point(cluster, model)
    ep = ranks if model.experts else min(ranks, default.ep)
    point = replace(default, num_npus=npus, ep=ep, batch_per_npu=batch, context_tokens=context)
    assert each_fix_fits(point, check_decode, decode_memory)


@given(CLUSTERS, MODELS, st.integers(1, 72), st.integers(1, 500_000))
def test_every_fix_of_a_prefill_point_that_does_not_fit_makes_it_fit(
    cluster: Supernode, model: ModelShape, npus: int, tokens: int
) -> None:
    ranks = npus * cluster.chip.num_dies.count
    default = default_prefill_point(cluster, model)
    ep = ranks if model.experts else min(ranks, default.ep)
    point = replace(default, num_npus=npus, ep=ep, batch_tokens_per_npu=tokens)
    assert each_fix_fits(point, check_prefill, prefill_memory)


def test_more_ranks_are_no_fix_of_a_staged_pass_whose_latents_grow_with_them() -> None:
    large = replace(PREFILL, batch_tokens_per_npu=32_768)
    twice = replace(large, num_npus=2 * large.num_npus, ep=2 * large.ep)
    assert prefill_memory(twice).needed_bytes > prefill_memory(large).needed_bytes
    with pytest.raises(DoesNotFitError, match=r"available: lower --batch-tokens to 20559$"):
        check_prefill(large)


def test_errors_give_both_numbers_and_the_fix() -> None:
    with pytest.raises(DoesNotFitError, match=r"needs 85\.2 GB per die, 64 GB available: lower --batch to 260 or"):
        check_decode(replace(DECODE, batch_per_npu=400))
    with pytest.raises(DoesNotFitError, match=r"even with a batch of 1: raise --npus to 15 and --ep to 30$"):
        check_decode(replace(DECODE, num_npus=8, ep=16))
    with pytest.raises(DoesNotFitError, match=r"whatever the batch: raise --npus to 11 and --ep to 22$"):
        check_prefill(replace(PREFILL, num_npus=4, ep=8))
    one_node = replace(CLOUDMATRIX384, num_nodes=replace(CLOUDMATRIX384.num_nodes, value=1))
    with pytest.raises(DoesNotFitError, match="a batch of 1: take a smaller model, or a cluster with more HBM per die"):
        check_decode(replace(DECODE, num_npus=8, ep=16, cluster=one_node))


def test_the_fitting_pass_is_tight() -> None:
    assert check_prefill(replace(PREFILL, batch_tokens_per_npu=20_559)).fits
    assert not prefill_memory(replace(PREFILL, batch_tokens_per_npu=20_560)).fits


@pytest.mark.parametrize("slots", [1, 2])
def test_slots_that_cannot_hold_the_experts_are_raised_to_what_can(slots: int) -> None:
    point = replace(DECODE, num_npus=8, ep=16, slots_per_rank=slots)
    with pytest.raises(DoesNotFitError, match="raise --slots-per-rank to 17") as caught:
        check_decode(point)
    (fix,) = fixes_of(caught.value)
    assert expert_layout(replace(point, slots_per_rank=fix["slots-per-rank"]))

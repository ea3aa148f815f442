"""What engines use is the model itself, within half a percent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Overlap, Supernode
from sim_hw.errors import OperatingPointError
from sim_hw.instance.compiled_prefill import CompiledPrefill, compile_prefill
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.layout import expert_layout, tensor_ranks
from sim_hw.operators.operating_point import PrefillPoint
from sim_hw.steps.default_points import default_prefill_point
from sim_hw.steps.prefill_pass import PassTokens, PrefillModel, pass_time, prefill_pass
from tests.unit.sim_hw.known import SUPERNODES

MODELS: list[ModelShape] = [DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]
WITH_OVERLAPS = [
    replace(default_prefill_point(cluster, model), overlap=overlap)
    for cluster in SUPERNODES
    for model in MODELS
    for overlap in Overlap
]
LAYOUTS = (
    {"tp": 4},
    {"tp": 8, "ep": 8, "num_npus": 8},
    {"tp": 2, "ep": 8, "expert_tp": 4},
    {"pp": 2, "ep": 16},
    {"pp": 4, "ep": 4, "tp": 2, "expert_tp": 2},
    {"cp": 4},
    {"cp": 2, "tp": 4, "pp": 2, "ep": 16},
)
DENSE_LAYOUTS = ({"pp": 2}, {"cp": 4}, {"cp": 2, "pp": 4})
WITH_LAYOUTS = [
    *(replace(default_prefill_point(H800_CLUSTER, DEEPSEEK_R1), **layout) for layout in LAYOUTS),
    *(replace(default_prefill_point(H800_CLUSTER, LLAMA_3_1_70B), tp=4, ep=4, **layout) for layout in DENSE_LAYOUTS),
]
INSTANCES = [*WITH_OVERLAPS, *WITH_LAYOUTS]
COMPILED = [compile_prefill(point) for point in INSTANCES]
TOLERANCE = 0.005


@given(
    instance=st.integers(0, len(INSTANCES) - 1),
    computed=st.integers(64, 300_000),
    cached=st.integers(0, 300_000),
    keys_per_query=st.integers(1, 20_000),
)
def test_any_pass_is_within_half_a_percent(instance: int, computed: int, cached: int, keys_per_query: int) -> None:
    point, compiled = INSTANCES[instance], COMPILED[instance]
    share = tensor_ranks(point) * point.pp / point.num_ranks
    pairs = computed * keys_per_query
    tokens = PassTokens(computed * share, cached * share, pairs * share)
    model = PrefillModel(point, fit_of(point.chip), expert_layout(point))
    expected_s = pass_time(model, tokens).whole.seconds
    assert compiled.prefill_ns(computed, pairs, cached) * 1e-9 == pytest.approx(expected_s, rel=TOLERANCE)


def published_pass(balance_point: PrefillPoint, compiled: CompiledPrefill) -> float:
    prompts = balance_point.num_npus * balance_point.batch_tokens_per_npu // 4096
    return compiled.prefill_ns(prompts * 4096, prompts * 4096 * 4097 // 2, 0) * 1e-9


def test_the_published_pass() -> None:
    point = default_prefill_point(CLOUDMATRIX384, DEEPSEEK_R1)
    assert published_pass(point, compile_prefill(point)) == pytest.approx(
        prefill_pass(point).whole.seconds, rel=TOLERANCE
    )


@given(
    instance=st.integers(0, len(INSTANCES) - 1),
    computed=st.integers(1, 2**19),
    cached=st.integers(0, 2**19),
    pairs=st.integers(0, 2**33),
    more=st.integers(1, 2**19),
)
def test_more_work_never_takes_less_time(instance: int, computed: int, cached: int, pairs: int, more: int) -> None:
    ns = COMPILED[instance].prefill_ns
    base_ns = ns(computed, pairs, cached)
    assert ns(computed + more, pairs, cached) >= base_ns > 0
    assert ns(computed, pairs + more, cached) >= base_ns
    assert ns(computed, pairs, cached + more) >= base_ns


def test_an_instance_that_cannot_exist() -> None:
    cluster: Supernode = CLOUDMATRIX384
    with pytest.raises(OperatingPointError):
        compile_prefill(replace(default_prefill_point(cluster, DEEPSEEK_R1), num_npus=0))

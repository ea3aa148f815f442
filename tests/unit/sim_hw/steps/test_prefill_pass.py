"""Laws of a prefill pass over clusters, models and prompts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Overlap
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.operating_point import ExpertBalance, PrefillPoint
from sim_hw.planes import Plane
from sim_hw.steps.prefill_pass import VPC_LINE_SHARE, fetch_s, pass_tokens, prefill_pass
from tests.unit.sim_hw.faster_hardware import scaled, with_chip

EFFICIENCIES = ["matrix_efficiency", "attention_efficiency", "memory_efficiency", "vector_efficiency"]
PUBLISHED = PrefillPoint(
    cluster=CLOUDMATRIX384, model=DEEPSEEK_R1, num_npus=16, ep=32, batch_tokens_per_npu=16_384, prompt_tokens=4096
)


@st.composite
def prefill_points(draw: st.DrawFn) -> PrefillPoint:
    cluster = draw(st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72]))
    model = draw(st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]))
    num_npus = draw(st.integers(4, 64))
    return PrefillPoint(
        cluster=cluster,
        model=model,
        num_npus=num_npus,
        ep=num_npus * cluster.chip.num_dies.count if model.experts else draw(st.sampled_from([1, 2, 4])),
        batch_tokens_per_npu=draw(st.integers(256, 65_536)),
        prompt_tokens=draw(st.integers(16, 32_768)),
        reuse=draw(st.floats(0.0, 1.0)),
        cache_plane=draw(st.sampled_from([Plane.UB, Plane.VPC])),
        overlap=draw(st.sampled_from(Overlap)),
        eplb=draw(st.sampled_from(ExpertBalance)),
    )


def pass_s(point: PrefillPoint) -> float:
    return prefill_pass(point).whole.seconds


def at_most(less: float, more: float) -> bool:
    """Up to rounding."""
    return less <= more * (1 + 1e-9)


@given(point=prefill_points(), more=st.floats(1.0, 8.0))
def test_more_work_never_takes_less_time(point: PrefillPoint, more: float) -> None:
    base_s = pass_s(point)
    assert base_s > 0
    assert at_most(base_s, pass_s(replace(point, batch_tokens_per_npu=int(more * point.batch_tokens_per_npu))))
    longer = replace(point, reuse=0.0)
    assert at_most(pass_s(longer), pass_s(replace(longer, prompt_tokens=int(more * longer.prompt_tokens))))


@given(point=prefill_points())
def test_halving_reuse_never_helps(point: PrefillPoint) -> None:
    assert at_most(pass_s(point), pass_s(replace(point, reuse=point.reuse / 2)))


@given(point=prefill_points(), factor=st.floats(1.0, 4.0), name=st.sampled_from(EFFICIENCIES))
def test_better_hardware_and_software_never_take_more_time(point: PrefillPoint, factor: float, name: str) -> None:
    base_s = pass_s(point)
    assert at_most(pass_s(replace(point, cluster=with_chip(point.cluster, flops=factor))), base_s)
    assert at_most(pass_s(replace(point, cluster=with_chip(point.cluster, hbm_bandwidth=factor))), base_s)
    fit = fit_of(point.chip)
    worse = replace(fit, **{name: scaled(getattr(fit, name), 1 / factor)})
    assert at_most(base_s, prefill_pass(point, worse).whole.seconds)


@given(point=prefill_points())
def test_exposed_time_sums_to_the_pass(point: PrefillPoint) -> None:
    whole = prefill_pass(point).whole
    assert sum(whole.exposed_s.values()) == pytest.approx(whole.seconds)


@given(point=prefill_points())
def test_overlap_and_balance_never_hurt(point: PrefillPoint) -> None:
    none, single, two = (pass_s(replace(point, overlap=overlap)) for overlap in Overlap)
    assert at_most(single, none)
    assert at_most(two, none)
    default, greedy, perfect = (pass_s(replace(point, eplb=balance)) for balance in ExpertBalance)
    assert at_most(perfect, greedy)
    assert at_most(greedy, default)


def test_tokens_of_the_published_pass() -> None:
    tokens = pass_tokens(replace(PUBLISHED, reuse=0.5))
    # Two prompts a die, of each 2,048 tokens that see the 2,048 cached ones and themselves.
    assert (tokens.computed, tokens.cached) == (4096, 4096)
    assert tokens.pairs == 2 * (2048 * 2048 + 2048 * 2049 / 2)


def test_one_token_is_always_computed() -> None:
    assert pass_tokens(replace(PUBLISHED, reuse=1.0)).computed == 2


def test_a_cached_prefix_is_fetched_over_the_plane_that_was_named() -> None:
    # 8,192 tokens of 70,272 B: over UB at 147 GB/s a die, over VPC at a sixteenth of what a node reaches of 50 GB/s.
    num_bytes = 8192 * 70_272
    assert fetch_s(PUBLISHED, 8192) == pytest.approx(num_bytes / 147e9)
    assert fetch_s(replace(PUBLISHED, cache_plane=Plane.VPC), 8192) == pytest.approx(
        num_bytes / (VPC_LINE_SHARE.value * 50e9 / 16)
    )


def test_a_cached_token_costs_less_than_a_computed_one_but_not_nothing() -> None:
    none, half = pass_s(PUBLISHED), pass_s(replace(PUBLISHED, reuse=0.5))
    assert none / 2 < half < none

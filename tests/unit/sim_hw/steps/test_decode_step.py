"""Laws of a decode step over clusters, models, layouts and loads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H100_CLUSTER, H800_CLUSTER
from sim_hw.clusters.supernode import Overlap
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance
from sim_hw.steps.decode_step import DecodeModel, decode_step, stage_s
from sim_hw.steps.default_points import default_decode_point
from tests.unit.sim_hw.faster_hardware import scaled, with_chip

EFFICIENCIES = ["matrix_efficiency", "attention_efficiency", "memory_efficiency", "vector_efficiency"]
PUBLISHED = DecodePoint(
    cluster=CLOUDMATRIX384,
    model=DEEPSEEK_R1,
    num_npus=160,
    ep=320,
    batch_per_npu=96,
    context_tokens=4096,
    mtp_k=1,
)


@st.composite
def decode_points(draw: st.DrawFn) -> DecodePoint:
    cluster = draw(st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72]))
    model = draw(st.sampled_from([DEEPSEEK_R1, QWEN3_235B_A22B, LLAMA_3_1_70B]))
    dies = cluster.chip.num_dies.count
    num_npus = draw(st.integers(1, cluster.num_npus))
    return DecodePoint(
        cluster=cluster,
        model=model,
        num_npus=num_npus,
        ep=draw(st.integers(1, num_npus * dies if model.experts else min(8, num_npus * dies))),
        batch_per_npu=draw(st.integers(1, 512)),
        context_tokens=draw(st.integers(1, 32_768)),
        mtp_k=draw(st.integers(0, 3)) if model.mtp_layers else 0,
        overlap=draw(st.sampled_from(Overlap)),
        eplb=draw(st.sampled_from(ExpertBalance)),
    )


def step_s(point: DecodePoint, fit: ChipFit | None = None) -> float:
    return decode_step(point, fit).step.seconds


def at_most(less: float, more: float) -> bool:
    """Up to rounding."""
    return less <= more * (1 + 1e-9)


@given(point=decode_points(), more=st.integers(1, 512))
def test_more_work_never_takes_less_time(point: DecodePoint, more: int) -> None:
    base_s = step_s(point)
    assert base_s > 0
    assert at_most(base_s, step_s(replace(point, batch_per_npu=point.batch_per_npu + more)))
    assert at_most(base_s, step_s(replace(point, context_tokens=point.context_tokens + more)))
    if point.model.mtp_layers:
        assert base_s < step_s(replace(point, mtp_k=point.mtp_k + 1))


@given(point=decode_points(), factor=st.floats(1.0, 4.0))
def test_better_hardware_never_takes_more_time(point: DecodePoint, factor: float) -> None:
    base_s = step_s(point)
    assert at_most(step_s(replace(point, cluster=with_chip(point.cluster, flops=factor))), base_s)
    assert at_most(step_s(replace(point, cluster=with_chip(point.cluster, hbm_bandwidth=factor))), base_s)


@given(point=decode_points(), name=st.sampled_from(EFFICIENCIES), factor=st.floats(0.1, 1.0))
def test_lower_efficiency_never_takes_less_time(point: DecodePoint, name: str, factor: float) -> None:
    fit = fit_of(point.chip)
    worse = replace(fit, **{name: scaled(getattr(fit, name), factor)})
    assert at_most(step_s(point), step_s(point, worse))


@given(point=decode_points())
def test_exposed_time_sums_to_the_step_and_nothing_is_exposed_longer_than_busy(point: DecodePoint) -> None:
    step = decode_step(point).step
    assert sum(step.exposed_s.values()) == pytest.approx(step.seconds)
    assert all(seconds <= step.busy_s[name] * (1 + 1e-9) for name, seconds in step.exposed_s.items())


@given(point=decode_points())
def test_overlap_and_balance_never_hurt(point: DecodePoint) -> None:
    none, single, two = (step_s(replace(point, overlap=overlap)) for overlap in Overlap)
    assert at_most(single, none)
    assert at_most(two, none)
    default, greedy, perfect = (step_s(replace(point, eplb=balance)) for balance in ExpertBalance)
    assert at_most(perfect, greedy)
    assert at_most(greedy, default)


def test_the_published_step_splits_its_cores_as_the_paper_does() -> None:
    assert decode_step(PUBLISHED).attention_cores == 16
    # A split batch reads all weights twice: with few requests that costs more than it hides.
    small = decode_step(replace(PUBLISHED, batch_per_npu=8))
    assert (small.is_split, small.attention_cores) == (False, None)


def test_attention_gets_more_cores_as_contexts_grow() -> None:
    contexts = (4096, 8192, 16_384, 32_768)
    cores = [decode_step(replace(PUBLISHED, context_tokens=context)).attention_cores for context in contexts]
    assert cores == [16, 18, 20, 22]


def test_the_layer_is_the_slower_stream_twice() -> None:
    model = DecodeModel(PUBLISHED, fit_of(PUBLISHED.chip), expert_layout(PUBLISHED))
    streams = stage_s(model, PUBLISHED.requests_per_rank / 2, 16 / 24)
    slower_s = max(sum(stream.values()) for stream in streams)
    assert decode_step(PUBLISHED).layer.seconds == pytest.approx(2 * slower_s)


def test_every_fitted_number_of_decode_matters() -> None:
    decode_fields = {*ChipFit.__struct_fields__} & {
        "matrix_efficiency",
        "attention_efficiency",
        "memory_efficiency",
        "request_s",
        "iteration_s",
        "text_spread",
    }
    fit, base_s = fit_of(PUBLISHED.chip), step_s(PUBLISHED)
    for name in decode_fields:
        changed = replace(fit, **{name: scaled(getattr(fit, name), 1.1)})
        assert step_s(PUBLISHED, changed) != base_s, name


def test_a_dense_model_pays_for_no_expert() -> None:
    """Neither the handling of rows among experts nor the time of a dispatch, whatever these cost."""
    point = default_decode_point(H100_CLUSTER, LLAMA_3_1_70B)
    point = replace(point, batch_per_npu=32)
    fit = fit_of(point.chip)
    dear = replace(
        fit,
        dispatch=replace(fit.dispatch, fixed_s=replace(fit.dispatch.fixed_s, value=1.0)),
        combine=replace(fit.combine, fixed_s=replace(fit.combine.fixed_s, value=1.0)),
        text_spread=replace(fit.text_spread, value=100.0),
    )
    step = decode_step(point, fit).step
    assert decode_step(point, dear).step == step
    assert not {"row_handling", "dispatch", "combine", "gate", "experts"} & set(step.busy_s)
    # 256 requests of a group of 8, of 4,096 tokens each: 42.95 GB of KV and 8.8 GB of weights a GPU, at 3 TB/s.
    assert step.busy_s["attention"] == pytest.approx(42.95e9 / (0.896 * 3.35e12), rel=0.01)
    assert step.seconds == pytest.approx(26.0e-3, rel=0.01)


def test_two_batches_on_a_gpu_hide_what_is_on_the_wire_and_no_more() -> None:
    """Kernels of the exchange take the multiprocessors that computation of the other batch needs."""
    whole = DecodePoint(
        cluster=H800_CLUSTER, model=DEEPSEEK_R1, num_npus=128, ep=128, batch_per_npu=128, context_tokens=4096
    )
    found = decode_step(whole)
    assert found.is_split
    fit = fit_of(whole.chip)
    for name, collective in (("dispatch", fit.dispatch), ("combine", fit.combine)):
        kernels_s = 2 * collective.fixed_s.value
        assert kernels_s <= found.layer.exposed_s[name] < found.layer.busy_s[name]
    assert found.layer.seconds == pytest.approx(sum(found.layer.exposed_s.values()))
    gain = step_s(replace(whole, overlap=Overlap.NONE)) / found.step.seconds
    assert 1.2 < gain < 1.4, "1.26 to 1.36 were measured on H100"


def test_dense_layers_beside_experts_keep_what_was_fitted_on_them() -> None:
    names = {
        operator.name
        for operator in DecodeModel(PUBLISHED, fit_of(PUBLISHED.chip), expert_layout(PUBLISHED)).dense(96.0)
    }
    assert names == {"dense_ffn", "row_handling", "ffn_launch"}

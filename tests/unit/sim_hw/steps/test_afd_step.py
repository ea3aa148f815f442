"""A decode step with attention and experts on different NPUs: laws, and closed forms of its layers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import OperatingPointError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B
from sim_hw.models.shape import ModelShape
from sim_hw.operators.collectives import SidesExchange
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import Drafter, ExpertBalance
from sim_hw.steps.afd_step import AFD_MICROBATCHES, AfdModel, AfdPoint, afd_step
from sim_hw.steps.default_points import default_decode_point
from tests.unit.sim_hw.known import draft_model_of


def sides(attention: int, ffn: int, cluster: Supernode = CLOUDMATRIX384, model: ModelShape = DEEPSEEK_R1) -> AfdPoint:
    fields = asdict(default_decode_point(cluster, model))
    fields |= {"num_npus": attention, "ep": ffn * cluster.chip.num_dies.count}
    return AfdPoint(**fields, ffn_npus=ffn)


PUBLISHED = sides(128, 32)


@st.composite
def afd_points(draw: st.DrawFn) -> AfdPoint:
    cluster = draw(st.sampled_from([CLOUDMATRIX384, H800_CLUSTER, GB200_NVL72]))
    point = sides(draw(st.integers(1, 48)), draw(st.integers(1, 24)), cluster)
    drafter = draw(st.sampled_from(Drafter))
    return replace(
        point,
        batch_per_npu=draw(st.integers(1, 128)),
        context_tokens=draw(st.integers(1, 32_768)),
        mtp_k=draw(st.integers(0, 3)),
        drafter=drafter,
        draft_model=draft_model_of(drafter),
        eplb=draw(st.sampled_from(ExpertBalance)),
    )


@given(point=afd_points(), more=st.integers(1, 4096))
def test_a_step_is_whole_and_grows_with_context(point: AfdPoint, more: int) -> None:
    found = afd_step(point)
    assert sum(found.step.exposed_s.values()) == pytest.approx(found.step.seconds)
    assert all(found.step.exposed_s[name] <= found.step.busy_s[name] * (1 + 1e-9) for name in found.step.exposed_s)
    assert 0 < found.attention_busy_share <= 1 + 1e-9
    assert 0 < found.ffn_busy_share <= 1 + 1e-9
    assert found.microbatches in AFD_MICROBATCHES
    longer = afd_step(replace(point, context_tokens=min(64_000, point.context_tokens + more)))
    assert found.step.seconds <= longer.step.seconds * (1 + 1e-9)


@given(point=afd_points())
def test_more_npus_of_attention_never_speed_a_step_that_each_loads_alike(point: AfdPoint) -> None:
    """Each brings its own requests, for the same experts."""
    perfect = replace(point, eplb=ExpertBalance.PERFECT)
    twice = replace(perfect, num_npus=2 * point.num_npus)
    assert afd_step(perfect).step.seconds <= afd_step(twice).step.seconds * (1 + 1e-9)


def test_a_layer_is_that_of_the_side_that_works_longest_or_of_one_way_through() -> None:
    layout = expert_layout(PUBLISHED)
    assert layout is not None
    model = AfdModel(PUBLISHED, fit_of(PUBLISHED.chip), layout)
    layers: dict[int, float] = {}
    for count in AFD_MICROBATCHES:
        one = model.layer(PUBLISHED.requests_per_rank / count)
        attention, ffn, there, back = (
            sum(part.values()) for part in (one.attention_s, one.ffn_s, one.there_s, one.back_s)
        )
        layers[count] = max(attention + ffn + there + back, *(count * part for part in (attention, ffn, there, back)))
        assert one.of_many(count)[0].seconds == pytest.approx(layers[count])
    found = afd_step(PUBLISHED)
    assert found.layer.seconds == pytest.approx(min(layers.values()))
    assert layers[2] < layers[1]


def test_the_side_with_too_few_npus_bounds_the_layer_and_the_other_waits() -> None:
    many = replace(PUBLISHED, batch_per_npu=192)
    starved, idle = (replace(many, num_npus=count, ffn_npus=160 - count, ep=2 * (160 - count)) for count in (64, 150))
    assert afd_step(starved).bound_by == "attention"
    assert afd_step(starved).ffn_busy_share < 0.2
    assert afd_step(idle).bound_by == "experts"
    assert afd_step(idle).attention_busy_share < 0.9


def test_the_side_with_fewer_dies_moves_more_on_each_line() -> None:
    fit = fit_of(CLOUDMATRIX384.chip)
    few = SidesExchange(CLOUDMATRIX384, fit, 256, 64, 7168, 9)
    even = replace(few, receivers=256)
    row_s = 4 * 9 * (7168 + 512) / 137e9
    fixed_s, far_s = fit.dispatch.fixed_s.value, fit.dispatch.far_row_s.value
    assert few.seconds("dispatch", 100) == pytest.approx(fixed_s + 100 * (row_s + 4 * far_s))
    assert even.seconds("dispatch", 400) == pytest.approx(few.seconds("dispatch", 100))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_npus": 0}, "0 NPUs for attention: give --afd A:F"),
        ({"ffn_npus": 0}, "0 NPUs for experts: give --afd A:F"),
        ({"num_npus": 360}, "360 NPUs for attention and 32 for experts, cloudmatrix384 has 384: lower --afd"),
        ({"model": LLAMA_3_1_70B, "mtp_k": 0}, "llama-3.1-70b has no experts to be on other NPUs: leave --afd out"),
        ({"tp": 2}, "attention is data parallel and experts are whole: leave --tp and --expert-tp out"),
        ({"expert_tp": 2}, "attention is data parallel and experts are whole: leave --tp and --expert-tp out"),
        ({"batch_per_npu": 0}, "batch per NPU is at least 1, not 0"),
    ],
)
def test_sides_that_cannot_be(fields: dict[str, Any], message: str) -> None:
    PUBLISHED.check()
    with pytest.raises(OperatingPointError) as caught:
        replace(PUBLISHED, **fields).check()
    assert message in str(caught.value)

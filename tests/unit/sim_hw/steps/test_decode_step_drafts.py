"""What drafts cost and when they pay: MTP modules, draft layers, text seen before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H200_CLUSTER
from sim_hw.errors import OperatingPointError
from sim_hw.models.published import DEEPSEEK_R1, QWEN3_32B
from sim_hw.operators.layout import expert_layout
from sim_hw.operators.operating_point import DecodePoint, Drafter
from sim_hw.steps.decode_step import DecodeModel, decode_step, single_draft_operators
from sim_hw.steps.default_points import default_decode_point
from sim_hw.steps.die_memory import decode_memory
from tests.unit.sim_hw.known import SMALL, draft_model_of

ON_CLOUDMATRIX = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
ON_H200 = default_decode_point(H200_CLUSTER, DEEPSEEK_R1)


@st.composite
def points(draw: st.DrawFn) -> DecodePoint:
    drafter = draw(st.sampled_from(Drafter))
    return replace(
        draw(st.sampled_from([ON_CLOUDMATRIX, ON_H200])),
        batch_per_npu=draw(st.integers(1, 200)),
        context_tokens=draw(st.integers(1, 32_768)),
        mtp_k=draw(st.integers(0, 6)),
        drafter=drafter,
        draft_model=draft_model_of(drafter),
    )


def step_s(point: DecodePoint) -> float:
    return decode_step(point).step.seconds


def tpot_s(point: DecodePoint) -> float:
    return step_s(point) / point.tokens_per_iteration


@given(points())
def test_a_step_lasts_longer_with_each_draft(point: DecodePoint) -> None:
    assert step_s(point) < step_s(replace(point, mtp_k=point.mtp_k + 1))


@given(points())
def test_text_seen_before_costs_no_more_than_what_is_computed(point: DecodePoint) -> None:
    seen = replace(point, drafter=Drafter.NGRAM, draft_model=None)
    assert step_s(seen) <= step_s(point) * (1 + 1e-9)
    assert decode_memory(seen).needed_bytes <= decode_memory(point).needed_bytes


@given(points())
def test_drafts_that_are_never_accepted_do_not_pay(point: DecodePoint) -> None:
    assert tpot_s(replace(point, acceptance=0.0)) >= step_s(replace(point, mtp_k=0))


@pytest.mark.parametrize(("batch", "best"), [(96, 1), (8, 3)])
def test_the_more_requests_the_fewer_drafts_pay(batch: int, best: int) -> None:
    tried = [replace(ON_CLOUDMATRIX, batch_per_npu=batch, mtp_k=drafts) for drafts in range(7)]
    assert min(tried, key=tpot_s).mtp_k == best


def best_drafts(point: DecodePoint) -> int:
    """The number of them with the least time per token, the least if there are several."""
    return min(range(9), key=lambda drafts: tpot_s(replace(point, mtp_k=drafts)))


@given(points(), st.floats(0, 1), st.floats(0, 1))
def test_the_more_is_accepted_the_more_drafts_pay(point: DecodePoint, one: float, other: float) -> None:
    less, more = (best_drafts(replace(point, acceptance=acceptance)) for acceptance in sorted((one, other)))
    assert less <= more


@pytest.mark.parametrize("drafter", Drafter)
@pytest.mark.parametrize("acceptance", [0.3, 0.5, 0.7, 0.85])
def test_the_fuller_an_instance_the_fewer_drafts_pay(drafter: Drafter, acceptance: float) -> None:
    point = replace(ON_CLOUDMATRIX, drafter=drafter, draft_model=draft_model_of(drafter), acceptance=acceptance)
    best = [best_drafts(replace(point, batch_per_npu=batch)) for batch in (2, 8, 32, 96, 200)]
    assert best == sorted(best, reverse=True)
    assert best[0] > best[-1]


def test_the_first_draft_takes_all_rows_and_each_further_one_a_single_row() -> None:
    point = replace(ON_CLOUDMATRIX, mtp_k=3)
    assert (point.whole_drafts, point.single_drafts) == (1, 2)
    model = DecodeModel(point, fit_of(point.chip), expert_layout(point))
    single_s = sum(model.busy_s(single_draft_operators(model, point.requests_per_rank)).values())
    assert single_s < 0.5 * decode_step(point).layer.seconds


def test_a_draft_layer_needs_no_module_and_has_weights_and_kv() -> None:
    point = replace(default_decode_point(CLOUDMATRIX384, QWEN3_32B), mtp_k=3, batch_per_npu=2)
    with pytest.raises(OperatingPointError, match="has 0 MTP modules: --mtp 0 switches them off, --drafter eagle"):
        point.check()
    eagle = replace(point, drafter=Drafter.EAGLE)
    eagle.check()
    parts, without = decode_memory(eagle).parts_bytes, decode_memory(replace(point, mtp_k=0)).parts_bytes
    assert parts["weights_drafter"] > 0
    assert parts["kv"] == pytest.approx(without["kv"] * (1 + 1 / QWEN3_32B.layers))
    assert "eagle" in decode_step(eagle).step.busy_s
    with pytest.raises(OperatingPointError, match="17 speculative tokens: engines draft up to 16"):
        replace(eagle, mtp_k=17).check()


@given(points(), st.integers(1, 64))
def test_a_draft_model_costs_its_own_step_for_each_draft(point: DecodePoint, layers: int) -> None:
    small = replace(SMALL, layers=layers, dense_layers=layers)
    drafted = replace(point, drafter=Drafter.MODEL, draft_model=small, mtp_k=max(1, point.mtp_k))
    larger = replace(drafted, draft_model=replace(small, layers=layers + 1, dense_layers=layers + 1))
    assert step_s(drafted) < step_s(larger)
    assert decode_memory(drafted).needed_bytes < decode_memory(larger).needed_bytes
    # Its step alone, on the ranks that share attention, which is one rank here.
    alone = replace(drafted, model=small, drafter=Drafter.MTP, draft_model=None, mtp_k=0, ep=1)
    rows = replace(drafted, drafter=Drafter.NGRAM, draft_model=None)
    iteration_s = fit_of(point.chip).iteration_s.value
    assert step_s(drafted) - step_s(rows) == pytest.approx(drafted.mtp_k * (step_s(alone) - iteration_s), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"drafter": Drafter.MODEL}, "--drafter model and --draft-model NAME go together: give both or neither"),
        ({"draft_model": SMALL}, "--drafter model and --draft-model NAME go together: give both or neither"),
        (
            {"drafter": Drafter.MODEL, "draft_model": QWEN3_32B},
            "a vocabulary of 151936 tokens, deepseek-r1 one of 129280",
        ),
        (
            {"drafter": Drafter.MODEL, "draft_model": DEEPSEEK_R1},
            "has experts, which is not modelled: take a dense one",
        ),
        (
            {"drafter": Drafter.MODEL, "draft_model": replace(SMALL, layers=900, dense_layers=900)},
            "draft model small takes .* B parameters for a token, deepseek-r1 36.6 B: take a smaller one",
        ),
    ],
)
def test_a_model_that_cannot_draft_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(OperatingPointError, match=says) as caught:
        replace(ON_CLOUDMATRIX, **changes).check()
    assert "\n" not in str(caught.value)

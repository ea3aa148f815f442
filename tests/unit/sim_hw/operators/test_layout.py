"""The published expert layouts, and the slowest rank's rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.errors import DoesNotFitError
from sim_hw.models.published import DEEPSEEK_R1, LLAMA_3_1_70B, QWEN3_235B_A22B
from sim_hw.operators.layout import ExpertLayout, expert_layout, tensor_ranks
from sim_hw.operators.operating_point import DecodePoint, ExpertBalance
from sim_hw.steps.default_points import default_decode_point

DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)


def layout(ep: int, slots_per_rank: int | None = None, point: DecodePoint = DECODE) -> ExpertLayout:
    found = expert_layout(replace(point, num_npus=max(1, ep // 2), ep=ep, slots_per_rank=slots_per_rank))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ep", "slots", "shared_ranks"),
    [
        (32, 10, 0),  # CloudMatrix-Infer prefill: 8 routed, 1 redundant, 1 shared
        (320, 1, 32),  # CloudMatrix-Infer decode
        (144, 3, 0),  # DeepSeek decode: 2 routed, 1 shared
        (128, 3, 0),
        (48, 7, 0),
        (1, 257, 0),
    ],
)
def test_published_layouts(ep: int, slots: int, shared_ranks: int) -> None:
    found = layout(ep)
    assert (found.slots_per_rank, found.shared_ranks) == (slots, shared_ranks)


def test_experts_without_shared_ones_leave_no_rank_idle() -> None:
    found = layout(160, point=default_decode_point(CLOUDMATRIX384, QWEN3_235B_A22B))
    assert (found.slots_per_rank, found.shared_ranks, found.messages_per_row) == (1, 0, 8)


def test_a_dense_model_has_no_experts_and_splits_its_layers() -> None:
    point = default_decode_point(CLOUDMATRIX384, LLAMA_3_1_70B)
    assert expert_layout(point) is None
    assert tensor_ranks(point) == point.ep == 8
    assert tensor_ranks(DECODE) == 1


def test_slots_that_cannot_hold_all_experts_name_the_fix() -> None:
    with pytest.raises(
        DoesNotFitError, match=r"100 ranks x 2 slots .* 256 routed and 1 shared .* --slots-per-rank to 4"
    ):
        layout(100, 2)
    assert layout(100, 4).slots_per_rank == 4


def test_published_decode_balances_shared_and_routed_ranks() -> None:
    # 320 x 48 rows x 8 experts over 288 ranks; 320 x 48 rows over 32 copies of the shared expert.
    found = layout(320)
    assert found.slowest_rank_rows(48, ExpertBalance.PERFECT, 0.5) == pytest.approx(480)
    # One copy of an expert gets 1/256 of the rows however even the histogram is.
    assert found.slowest_rank_rows(48, ExpertBalance.DEFAULT, 0.0) == pytest.approx(480)


@given(ep=st.sampled_from([8, 32, 144, 320]), rows=st.floats(0.5, 1e4), spread=st.floats(0.0, 2.0))
def test_more_knowledge_never_makes_the_slowest_rank_slower(ep: int, rows: float, spread: float) -> None:
    found = layout(ep)
    perfect, greedy, default = (found.slowest_rank_rows(rows, balance, spread) for balance in reversed(ExpertBalance))
    assert perfect <= greedy <= default
    assert found.slowest_rank_rows(2 * rows, ExpertBalance.DEFAULT, spread) == pytest.approx(2 * default)


@given(st.sampled_from([4, 16, 32, 320]), st.floats(0.01, 500), st.floats(0, 500))
def test_more_rows_come_to_more_of_the_experts_and_to_no_more_than_there_are(ep: int, rows: float, more: float) -> None:
    spread = layout(ep)
    some = spread.slowest_rank_slots(rows)
    assert 0 < some <= spread.slowest_rank_slots(rows + more) + 1.0
    assert some <= spread.slots_per_rank
    assert spread.slowest_rank_slots(500) == pytest.approx(spread.slots_per_rank)


def test_two_rows_of_a_rank_leave_experts_unread() -> None:
    # 16 ranks x 2 rows x 8 choices over 288 slots: three fifths are asked for, of the busiest rank a few more.
    assert 0.6 * 19 < layout(16).slowest_rank_slots(2.0) < 0.95 * 19

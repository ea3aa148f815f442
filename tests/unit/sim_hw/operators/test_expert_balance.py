"""Laws of placing experts, and one placement by hand."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.operators.expert_balance import (
    copies_by_load,
    place_greedily,
    place_in_order,
    skewed_histogram,
    slowest_rank_load,
)

LOADS = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40).map(tuple)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.0])
def test_a_histogram_has_the_spread_that_was_asked_for(spread: float) -> None:
    loads = skewed_histogram(256, spread)
    assert sum(loads) == pytest.approx(1.0)
    # Quantiles cut the far tail off, and more of it the heavier it is.
    assert 0.85 * spread < pstdev(loads) / fmean(loads) < spread
    assert loads == skewed_histogram(256, spread)


def test_without_spread_all_experts_are_alike() -> None:
    assert set(skewed_histogram(8, 0.0)) == {1 / 8}


@given(loads=LOADS, spare=st.integers(0, 40))
def test_each_further_copy_goes_where_load_per_copy_is_highest(loads: tuple[float, ...], spare: int) -> None:
    copies = copies_by_load(loads, len(loads) + spare)
    assert sum(copies) == len(loads) + spare
    assert min(copies) >= 1
    # No copy was given away that another expert needed more.
    before_last = [load / (count - 1) for load, count in zip(loads, copies) if count > 1]
    assert not before_last or min(before_last) >= max(load / count for load, count in zip(loads, copies)) * (1 - 1e-12)


@given(loads=LOADS, ranks=st.integers(1, 12), data=st.data())
def test_greedy_placement_fills_all_slots_and_forgets_no_expert(
    loads: tuple[float, ...], ranks: int, data: st.DataObject
) -> None:
    slots = -(-len(loads) // ranks) + data.draw(st.integers(0, 3))
    for placement in (place_greedily(loads, ranks, slots), place_in_order(len(loads), ranks, slots)):
        assert [len(experts) for experts in placement] == [slots] * ranks
        assert {expert for experts in placement for expert in experts} == set(range(len(loads)))
        assert slowest_rank_load(loads, placement) >= 1.0


def test_four_experts_on_two_ranks() -> None:
    loads = (0.4, 0.3, 0.2, 0.1)
    assert slowest_rank_load(loads, place_in_order(4, 2, 2)) == pytest.approx(1.4)
    assert slowest_rank_load(loads, place_greedily(loads, 2, 2)) == pytest.approx(1.0)
    # A third slot each: two copies go to the two heaviest, whose halves then weigh no more than the rest.
    assert copies_by_load(loads, 6) == [2, 2, 1, 1]


@given(spread=st.floats(0.0, 1.0))
def test_copies_made_for_the_histogram_beat_blind_ones(spread: float) -> None:
    loads = skewed_histogram(256, spread)
    greedy = slowest_rank_load(loads, place_greedily(loads, 32, 9))
    assert greedy <= slowest_rank_load(loads, place_in_order(256, 32, 9))
    assert greedy < 1.02


def test_too_few_slots() -> None:
    with pytest.raises(ValueError, match="3 slots cannot hold 4 experts"):
        copies_by_load((0.25,) * 4, 3)

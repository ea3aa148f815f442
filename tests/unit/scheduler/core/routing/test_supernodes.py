"""Which supernodes a request may go to: even, stable as the fleet grows, the same for prompts that begin alike."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.open_requests import OpenRequests, RequestFacts
from scheduler.core.request_table import RequestTable
from scheduler.core.routing.supernodes import SupernodeChoice, jump_hash, key_of, mixed, named
from scheduler.protocol.messages import RequestsArrived

KEYS = st.integers(0, 2**64 - 1)


def stage_of(sizes: list[int]) -> Stage:
    """Two instances in each supernode, of so many NPUs each; their indices are 2 * supernode and the next."""
    return Stage([InstanceInfo(f"p{i}", sizes[i // 2], 1000, i // 2) for i in range(2 * len(sizes))])


def choice_of(stage: Stage, num_candidates: int, prefixes: list[list[int]], key_blocks: int = 2) -> SupernodeChoice:
    table, known = RequestTable(), OpenRequests(keep_prompts=True)
    num = len(prefixes)
    known.add(table.add(0, [100] * num), RequestsArrived([100] * num, [b""] * num, prefixes, [0] * num, 10))
    return SupernodeChoice(stage, RequestFacts(table, known), num_candidates, key_blocks)


@given(key=KEYS, num=st.integers(1, 500))
def test_a_larger_fleet_takes_only_what_its_new_part_gets(key: int, num: int) -> None:
    before, after = jump_hash(key, num), jump_hash(key, num + 1)
    assert 0 <= before < num
    assert after in (before, num)


def test_supernodes_get_shares_by_their_npus() -> None:
    stage = stage_of([32, 16, 16])
    choice = choice_of(stage, 1, [[i, 10_000 + i] for i in range(8_000)])
    counts = Counter(choice.candidates(i) for i in range(8_000))
    assert [round(counts[one,] / 1_000) for one in range(3)] == [4, 2, 2]


@given(blocks=st.lists(st.integers(0, 10**6), min_size=2, max_size=6), num=st.integers(1, 4))
def test_prompts_that_begin_alike_have_the_same_candidates(blocks: list[int], num: int) -> None:
    stage = stage_of([16] * 9)
    choice = choice_of(stage, num, [blocks, [*blocks, 7], blocks[:2]])
    assert choice.candidates(0) == choice.candidates(1) == choice.candidates(2)
    assert len(set(choice.candidates(0))) == num
    members = choice.instances(0)
    assert [stage.pool[index] for index in members] == [one for one in choice.candidates(0) for _ in range(2)]


@given(down=st.sets(st.integers(0, 5)), num=st.integers(1, 6))
def test_candidates_are_those_that_can_serve_and_the_others_stay(down: set[int], num: int) -> None:
    stage = stage_of([16] * 6)
    choice = choice_of(stage, num, [[1, i] for i in range(40)])
    before = [choice.candidates(i) for i in range(40)]
    stage.take_down([f"p{2 * one + k}" for one in down for k in (0, 1)])
    for i, at_first in enumerate(before):
        now = choice.candidates(i)
        assert len(now) == min(num, 6 - len(down))
        assert not down.intersection(now)
        if num < 6 - len(down):
            kept = [one for one in at_first if one not in down]
            assert list(now[: len(kept)]) == kept
    stage.bring_up([f"p{i}" for i in range(12)])
    assert [choice.candidates(i) for i in range(40)] == before


def test_prompts_of_which_nothing_is_known_are_spread() -> None:
    choice = choice_of(stage_of([16] * 4), 1, [[]] * 4_000)
    counts = Counter(choice.candidates(i) for i in range(4_000))
    assert all(900 < count < 1_100 for count in counts.values())
    assert len(counts) == 4


def test_the_hash_is_fixed() -> None:
    # Runs that were split over machines, and journals, go by it.
    assert mixed(0) == 0xE220A8397B1DCDAF  # SplitMix64, first output of seed 0
    assert [named(key_of([1, block], 0, 0, 2), range(10))[0] for block in range(8)] == [7, 1, 4, 6, 6, 7, 4, 2]

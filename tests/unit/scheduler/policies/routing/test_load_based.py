"""Policies by load alone."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.policies import make_routing_policy
from scheduler.policies.undeclared import Declared
from scheduler.policies.view import Reads
from tests.unit.scheduler.policies.routing.views import PREFILL, chance, stage_of

UNSEEN = Declared("load alone", Reads.LOAD).request


def test_least_counts_win_and_the_lowest_index_wins_a_tie() -> None:
    stage = stage_of([3, 1, 1], tokens=[10, 30, 20])
    assert make_routing_policy("least_loaded", PREFILL).choose(stage, UNSEEN) == 1
    assert make_routing_policy("cloudmatrix", PREFILL).choose(stage, UNSEEN) == 0


def test_round_robin_takes_turns_whatever_the_load() -> None:
    policy = make_routing_policy("round_robin", PREFILL)
    assert [policy.choose(stage_of([9, 0, 0]), UNSEEN) for _ in range(4)] == [0, 1, 2, 0]


def test_random_is_uniform_and_the_same_for_the_same_stream() -> None:
    draws = [make_routing_policy("random", chance(seed=3)) for _ in range(2)]
    first, again = ([policy.choose(stage_of([0] * 4), UNSEEN) for _ in range(4000)] for policy in draws)
    assert first == again
    assert all(count == pytest.approx(1000, rel=0.1) for count in Counter(first).values())


def test_two_are_drawn_without_replacement_and_the_lesser_wins() -> None:
    policy = make_routing_policy("power_of_two", chance())
    counts = Counter(policy.choose(stage_of([2, 1, 0]), UNSEEN) for _ in range(3000))
    # The best is in two of three pairs, the worst in none where it would win.
    assert counts[2] == pytest.approx(2000, rel=0.1)
    assert counts[0] == 0
    assert policy.choose(stage_of([7]), UNSEEN) == 0

"""llm-d's weighted scorers by hand."""

from __future__ import annotations

import pytest

from scheduler.policies import make_routing_policy
from scheduler.policies.routing.llmd import LlmdWeighted
from tests.unit.scheduler.policies.routing.views import PREFILL, chance, request_of, stage_of


def test_scores() -> None:
    stage = stage_of([5, 3, 4], running=[1, 3, 2], kv=[50, 0, 100], capacity=[100, 100, 100])
    # Waiting 4, 0, 2: queue scores 0, 1, 0.5. Match 0.5, 0, 1. KV 0.5, 1, 0.
    scores = LlmdWeighted(PREFILL).scores(stage, request_of(1000, [500, 0, 1000]))
    assert scores == pytest.approx([3 * 0.5 + 0 + 2 * 0.5, 0 + 2 + 2, 3 + 2 * 0.5 + 0])


def test_all_wait_alike_scores_one() -> None:
    scores = LlmdWeighted(PREFILL, prefix=2.0, queue=1.0, kv=0.0).scores(stage_of([2, 2]), request_of(10, [0, 5]))
    assert scores == [1.0, 2.0]


def test_ties_are_broken_by_chance() -> None:
    policy = make_routing_policy("llmd_weighted", chance())
    assert {policy.choose(stage_of([1, 1, 2]), request_of(10, [0, 0, 0])) for _ in range(50)} == {0, 1}

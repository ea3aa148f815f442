"""Dynamo's linear cost by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from scheduler.policies import make_routing_policy
from scheduler.policies.routing.dynamo import DynamoKv
from tests.unit.scheduler.policies.routing.views import DECODE, PREFILL, chance, request_of, stage_of


def test_cost_of_prefill() -> None:
    stage, request = stage_of([0, 0, 0], tokens=[0, 700, 1500]), request_of(1000, [0, 500, 1000])
    # Blocks of 100: active 0, 7, 15; incoming 10; hits 0, 5, 10.
    assert DynamoKv(PREFILL).scores(stage, request) == [10, 12, 15]
    assert DynamoKv(PREFILL, overlap_credit=2.0).scores(stage, request) == [10, 7, 5]
    assert DynamoKv(PREFILL, overlap_credit=3.0, prefill_load_scale=0.5).scores(stage, request) == [5, 1, 0]
    # Excess over the least loaded 0, 0.7 and 1.5 prompts: credits 1, 1 / 1.7 and 1 / 2.5.
    decayed = DynamoKv(PREFILL, credit_decay=1.0).scores(stage, request)
    assert decayed == pytest.approx([10, 17 - 5 / 1.7, 25 - 10 / 2.5])


def test_what_the_pool_has_counts_once() -> None:
    # 400 of 1000 from the pool: 6 blocks come in everywhere; the own cache adds what it holds beyond those.
    assert DynamoKv(PREFILL).scores(stage_of([0, 0]), request_of(1000, [300, 900], cached=400)) == [6, 1]


def test_decode_counts_kv_blocks_only() -> None:
    stage = stage_of([0, 0], tokens=[300, 200])
    assert DynamoKv(DECODE).scores(stage, request_of(1000, [0, 0])) == [13, 12]
    assert make_routing_policy("dynamo_kv", DECODE).choose(stage, request_of(1000, [0, 0])) == 1


def test_temperature_draws_by_the_softmax_of_scaled_costs() -> None:
    policy = make_routing_policy("dynamo_kv:temperature=1", chance())
    stage, request = stage_of([0, 0], tokens=[0, 900]), request_of(1000, [0, 0])
    # Scaled costs 0 and 1, so weights 1 and 1/e: 73.1 % for the first.
    counts = Counter(policy.choose(stage, request) for _ in range(4000))
    assert counts[0] / 4000 == pytest.approx(0.731, abs=0.03)

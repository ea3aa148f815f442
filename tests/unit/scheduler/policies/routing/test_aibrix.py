"""AIBrix's policies by hand."""

from __future__ import annotations

from math import inf

import pytest

from scheduler.policies import make_routing_policy
from scheduler.policies.routing.aibrix import AibrixPd, Conductor
from tests.unit.scheduler.policies.routing.views import DECODE, PREFILL, request_of, stage_of


def test_pd_prefill_scores() -> None:
    # Mean 4, sigma 2.83: 8 is over the limit of 6.83. Match 50 % costs 5, plus the share of the largest load.
    scores = AibrixPd(PREFILL).prefill(stage_of([4, 0, 4, 8]), request_of(1000, [500, 0, 0, 1000]))
    assert scores == pytest.approx([5.5, 10.0, 10.5, inf])
    # Those that are all alike are all kept.
    assert AibrixPd(PREFILL).prefill(stage_of([3, 3, 3]), request_of(10, [0, 0, 10])) == pytest.approx([11, 11, 1])


def test_pd_prefill_goes_by_load_when_the_spread_is_over_sixteen() -> None:
    policy = make_routing_policy("aibrix_pd", PREFILL)
    assert policy.choose(stage_of([16, 16, 16, 16, 0]), request_of(10, [10, 0, 0, 0, 0])) == 0
    assert policy.choose(stage_of([17, 17, 17, 17, 0]), request_of(10, [10, 0, 0, 0, 0])) == 4


def test_pd_decode_scores() -> None:
    stage = stage_of([4, 2], running=[4, 2], rates=[1000.0, 500.0], kv=[60, 20], capacity=[100, 100])
    # (4/4 + 1 - 1) / (40/80) = 2; (2/4 + 1 - 0.5) / 1 = 1.
    assert AibrixPd(DECODE).decode(stage) == [2.0, 1.0]
    full = stage_of([4, 2], running=[4, 2], rates=[1000.0, 500.0], kv=[100, 20], capacity=[100, 100])
    assert AibrixPd(DECODE).decode(full) == [inf, 1.0]
    cold = stage_of([4, 3], running=[4, 0], rates=[1000.0, 0.0], capacity=[100, 100], reported=[5, -1])
    assert AibrixPd(DECODE).decode(cold) == [1.0, 4.0]


def test_pd_decode_fast_paths() -> None:
    policy, request = make_routing_policy("aibrix_pd", DECODE), request_of(10, [0, 0])
    assert policy.choose(stage_of([0, 16], running=[0, 16], capacity=[1, 9]), request) == 0
    assert policy.choose(stage_of([3, 3], rates=[2049.0, 0.0], capacity=[9, 9]), request) == 1


def test_conductor_prefill() -> None:
    # The curve at 512 tokens: 0.001 * 512^1.5 + 5 = 16.585 ms; at 400: 13 ms; at 900: 32 ms.
    scores = Conductor(PREFILL).prefill(stage_of([2, 0]), request_of(900, [500, 0]))
    assert scores == pytest.approx([2 * 16.585 + 0.005 * 500 + 1 + 13, 32], abs=1e-3)
    assert Conductor(PREFILL, mean_prefill_ms=1.0).prefill(stage_of([2]), request_of(900, [900])) == [2 + 5.5]


def test_conductor_decode() -> None:
    stage = stage_of([4, 0, 1], running=[4, 0, 1], rates=[500.0, 0.0, 250.0], kv=[95, 0, 90], capacity=[100, 100, 100])
    # 2 ms * 1.25 * 1.5; 20 ms * 2; 4 ms * 2, 0.9 not being more than 0.9.
    assert Conductor(DECODE).decode(stage) == pytest.approx([3.75, 40, 8])


def test_pd_pair_is_of_one_role_set() -> None:
    # Prefill scores 10.5, 11, 6, 10.5: the best of each set are 0 (10.5) and 2 (6), over the most 1 and 0.571.
    prefill = stage_of([1, 2, 2, 1], supernodes=[0, 0, 1, 1])
    request = request_of(1000, [0, 0, 500, 0])
    # Decode scores: set 0 has (2/4 + 1 - 1/2) / 1 = 1, set 1 has (4/4 + 1 - 1) / (50/100) = 2: over the most 0.5 and 1.
    rates, capacity = [500.0, 1000.0], [100, 100]
    decode = stage_of([2, 4], running=[2, 4], rates=rates, kv=[0, 50], capacity=capacity, supernodes=[0, 1])
    scores = AibrixPd(PREFILL).prefill(prefill, request)
    assert scores == pytest.approx([10.5, 11.0, 6.0, 10.5])
    assert AibrixPd(DECODE).decode(decode) == [1.0, 2.0]
    # 1 + 0.5 against 0.571 + 1.
    assert AibrixPd(PREFILL).choose_pair(prefill, decode, request) == (0, 0)
    # With all of the prompt at hand it is 1 against 2 / 11: 1 + 0.5 against 0.1 + 1.
    assert AibrixPd(PREFILL).choose_pair(prefill, decode, request_of(1000, [0, 0, 1000, 0])) == (2, 1)
    # Of its own set, even if that of the other has less to do.
    spread = stage_of([17, 17, 17, 0], supernodes=[0, 0, 1, 1])
    assert AibrixPd(PREFILL).choose_pair(spread, decode, request) == (3, 1)


def test_pd_without_a_whole_role_set_takes_the_best_of_each() -> None:
    prefill, decode = stage_of([1, 0], supernodes=[0, 0]), stage_of([9, 0], capacity=[9, 9], supernodes=[1, 1])
    request = request_of(10, [0, 0])
    policy = AibrixPd(PREFILL)
    assert policy.choose_pair(prefill, decode, request) == (1, policy._choose_decode(decode))

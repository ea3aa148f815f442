"""Policies by predicted times, by hand."""

from __future__ import annotations

from scheduler.policies import make_routing_policy
from tests.unit.scheduler.policies.routing.views import DECODE, PREFILL, request_of, stage_of


def test_mooncake_takes_the_least_sum_of_queue_and_own_time() -> None:
    policy = make_routing_policy("mooncake", PREFILL)
    request = request_of(1000, [0, 900, 0], backlog=[5e6, 9e6, 6e6], work=[7e6, 2e6, 7e6])
    assert policy.choose(stage_of([0, 0, 0]), request) == 1
    assert make_routing_policy("mooncake", DECODE).choose(stage_of([0, 0]), request_of(9, [0, 0], work=[3, 2])) == 1


def test_slo_aware_fills_decode_instances_one_after_the_other() -> None:
    policy = make_routing_policy("slo_aware", DECODE)
    assert policy.choose(stage_of([0, 0, 0]), request_of(9, [0, 0, 0], work=[51e6, 50e6, 1e6])) == 1
    assert policy.choose(stage_of([0, 0, 0]), request_of(9, [0, 0, 0], work=[53e6, 52e6, 51e6])) == 2
    assert (
        make_routing_policy("slo_aware", PREFILL).choose(stage_of([0, 0]), request_of(9, [0, 0], backlog=[2, 1])) == 1
    )

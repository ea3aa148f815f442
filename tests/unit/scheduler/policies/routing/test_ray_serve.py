"""Ray Serve's prefix affinity by hand."""

from __future__ import annotations

from scheduler.policies import make_routing_policy
from scheduler.policies.view import StageKind
from tests.unit.scheduler.policies.routing.views import chance, request_of, stage_of


def test_goes_by_match_from_ten_percent_on() -> None:
    policy = make_routing_policy("prefix_affinity", chance())
    assert policy.choose(stage_of([0, 10]), request_of(1000, [0, 100])) == 1
    assert policy.choose(stage_of([0, 10], sizes=[7, 6]), request_of(1000, [99, 0])) == 1
    assert policy.choose(stage_of([0, 10], sizes=[6, 6]), request_of(1000, [0, 99])) == 0


def test_draws_two_when_queues_are_uneven_and_for_decode() -> None:
    # Of two instances both are drawn, so the less loaded one wins for sure.
    assert make_routing_policy("prefix_affinity", chance()).choose(stage_of([0, 11]), request_of(1000, [0, 1000])) == 0
    decode = make_routing_policy("prefix_affinity", chance(StageKind.DECODE))
    assert decode.choose(stage_of([1, 0]), request_of(1000, [1000, 0])) == 1

"""The numbers behind a decision are those that the policy chose by."""

from __future__ import annotations

from math import isnan, nan

import pytest

from scheduler.core.routing.router import Router
from scheduler.core.routing.standing import NOWHERE, Standing, standings
from scheduler.policies import make_routing_policy
from scheduler.policies.view import PolicyContext, Reads, RequestView, StageView
from scheduler.runtime.random_streams import stream_on_demand
from tests.unit.scheduler.core.routing.test_router import Seeing, router_of, stage_of


def numbers(one: Standing | None) -> tuple[float | None, ...]:
    """Without what is not known, which is unequal to itself."""
    assert one is not None
    found = (one.requests, one.tokens, one.hit_tokens, one.wait_ns, one.work_ns, one.score)
    return (one.instance, *(None if isnan(value) else value for value in found))


def test_of_a_policy_by_load() -> None:
    router = router_of(stage_of([3, 1, 2]), make_routing_policy("cloudmatrix"))
    chosen = router.choose(0, 0, 100).instance
    first, other = standings(router, chosen, 20)
    assert numbers(first) == (1, 1, 1, 20, None, None, 1)
    assert numbers(other) == (2, 2, 2, 20, None, None, 2)


def test_of_one_that_sees_own_caches_and_times() -> None:
    stage = stage_of([0, 0, 0])
    router = router_of(stage, make_routing_policy("mooncake"), prefixes=[[1, 2, 3], [1, 2, 4]])
    router.choose(0, 0, 100)
    decision = router.choose(0, 1, 100)
    seen = router.last_request
    assert seen is not None
    first, other = standings(router, decision.instance, 0, own_caches=True)
    assert other is not None
    for one in (first, other):
        index = one.instance
        held = (seen.held_tokens[index], seen.backlog_ns[index], seen.work_ns[index])
        assert (one.hit_tokens, one.wait_ns, one.work_ns) == held
        assert one.score == one.wait_ns + one.work_ns
    assert sorted(seen.held_tokens) == [0, 0, 20]
    assert first.score <= other.score


def test_who_is_not_eligible_is_no_other() -> None:
    stage = stage_of([3, 1, 2])
    router = router_of(stage, make_routing_policy("least_loaded"))
    stage.take_down(["p2"])
    first, other = standings(router, router.choose(0, 0, 100).instance, 0)
    assert other is not None
    assert (first.instance, other.instance) == (1, 0)
    stage.take_down(["p0"])
    assert standings(router, router.choose(0, 0, 100).instance, 0)[1] is None


def test_what_nobody_reads_nobody_knows() -> None:
    router = router_of(stage_of([1, 0]), Seeing(reads=Reads.LOAD))
    router.choose(0, 0, 100)
    first, other = standings(router, 0, 0, own_caches=True)
    assert numbers(first) == (0, 1, 1, NOWHERE, None, None, None)
    assert numbers(other)[0] == 1
    assert standings(router, 0, NOWHERE)[0].hit_tokens == NOWHERE


class Unsure(Seeing):
    """Its scores fail, or are of another length."""

    def __init__(self, answer: list[float] | None) -> None:
        super().__init__()
        self.answer = answer

    def scores(self, stage: StageView, request: RequestView) -> list[float]:
        if self.answer is None:
            raise ValueError("no")
        return self.answer


@pytest.mark.parametrize("answer", [None, [], [1.0]])
def test_scores_that_fail_are_no_scores(answer: list[float] | None) -> None:
    router = router_of(stage_of([1, 0]), Unsure(answer))
    router.choose(0, 0, 100)
    assert isnan(standings(router, 0, 0)[0].score)
    assert not router.failures.count


LEAST_IS_BEST = ["least_loaded", "cloudmatrix", "mooncake", "slo_aware", "lmetric", "conductor", "dynamo_kv"]


def scored(router: Router, loads: list[int]) -> tuple[float, float]:
    router.stage.outstanding_requests[:] = router.stage.outstanding_tokens[:] = loads
    first, other = standings(router, router.choose(0, 0, 100).instance, 0)
    return first.score, nan if other is None else other.score


@pytest.mark.parametrize("policy", [*LEAST_IS_BEST, "xllm_car", "llmd_weighted"])
def test_no_other_scores_better(policy: str) -> None:
    context = PolicyContext(random=stream_on_demand(0, "test"))
    router = router_of(stage_of([0, 0, 0]), make_routing_policy(policy, context), prefixes=[[1, 2, 3]])
    for loads in ([0, 0, 0], [1, 0, 2], [5, 3, 1], [900, 2000, 100]):
        chosen, other = scored(router, loads)
        assert chosen <= other if policy in LEAST_IS_BEST else chosen >= other

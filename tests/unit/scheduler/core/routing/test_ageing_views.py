"""Routers side by side: each sees what it took last, and what it has sent since if it counts that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.open_requests import OpenRequests, RequestFacts
from scheduler.core.request_table import RequestTable
from scheduler.core.routing.router import Router
from scheduler.policies import make_routing_policy
from scheduler.policies.view import StageKind

AGE_NS = 1_000


def router_of(stage: Stage, num_routers: int, *, counts_sends: bool, policy: str = "least_loaded") -> Router:
    first, *others = [make_routing_policy(policy) for _ in range(num_routers)]
    facts = RequestFacts(RequestTable(), OpenRequests(keep_prompts=False))
    return Router(
        stage,
        first,
        StageKind.PREFILL,
        facts,
        view_age_ns=AGE_NS,
        counts_sends=counts_sends,
        replicas=others,
    )


def send(stage: Stage, router: Router, now_ns: int, request_id: int) -> int:
    index = router.choose(now_ns, request_id, 10).instance
    stage.outstanding_requests[index] += 1
    stage.outstanding_tokens[index] += 10
    return index


def four() -> Stage:
    return Stage([InstanceInfo(f"p{i}", 1, 1000) for i in range(4)])


@pytest.mark.parametrize(
    ("num_routers", "counts_sends", "expected"),
    [
        (1, False, [0] * 8),  # all see four empty instances
        (1, True, [1, 2, 3, 0, 1, 2, 3, 0]),  # as if it saw all as it is
        (2, True, [1, 1, 2, 2, 3, 3, 0, 0]),  # each alone
        (4, True, [1, 1, 1, 1, 2, 2, 2, 2]),
    ],
)
def test_routers_that_do_not_hear_of_each_other_herd(num_routers: int, counts_sends: bool, expected: list[int]) -> None:
    stage = four()
    router = router_of(stage, num_routers, counts_sends=counts_sends)
    first = [router.choose(5, request_id, 10).instance for request_id in range(num_routers)]  # each has looked
    assert first == [0] * num_routers
    chosen = [send(stage, router, 5, request_id) for request_id in range(num_routers, num_routers + 8)]
    assert chosen == expected


def test_routers_look_in_turn_each_once_in_an_age() -> None:
    stage = four()
    router = router_of(stage, 2, counts_sends=False)
    assert send(stage, router, 0, 0) == 0  # both look when they first decide
    assert send(stage, router, 0, 1) == 1
    assert send(stage, router, 499, 2) == 0
    assert send(stage, router, 500, 3) == 1  # the first has looked again, and the second has not
    assert send(stage, router, 500, 4) == 2  # which saw 2, 1, 0, 0
    assert send(stage, router, 999, 5) == 1
    assert send(stage, router, 1_000, 7) == 3  # now the second: 2, 3, 1, 0
    assert send(stage, router, 1_400, 8) == 2


def test_looks_that_nobody_needed_are_made_up_for_once() -> None:
    stage = four()
    router = router_of(stage, 3, counts_sends=False)
    for request_id in range(3):
        send(stage, router, 0, request_id)
    stage.outstanding_requests[:] = stage.outstanding_tokens[:] = [5, 4, 3, 2]
    assert [send(stage, router, 10**12, request_id) for request_id in range(3)] == [3, 3, 3]


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=30))
def test_one_router_that_counts_sees_what_is_there_as_long_as_nothing_leaves(steps: list[tuple[int, bool]]) -> None:
    aged, live = four(), four()
    old = router_of(aged, 1, counts_sends=True)
    now = Router(
        live,
        make_routing_policy("least_loaded"),
        StageKind.PREFILL,
        RequestFacts(RequestTable(), OpenRequests(keep_prompts=False)),
    )
    now_ns = 0
    for request_id, (later_ns, among) in enumerate(steps):
        now_ns += later_ns
        if among:
            some = [1, 3]
            chosen = [one.choose_among(now_ns, request_id, 10, list(some)).instance for one in (old, now)]
            for stage, index in zip((aged, live), chosen, strict=True):
                stage.outstanding_requests[index] += 1
                stage.outstanding_tokens[index] += 10
        else:
            chosen = [send(aged, old, now_ns, request_id), send(live, now, now_ns, request_id)]
        assert chosen[0] == chosen[1]


def test_each_router_has_a_policy_of_its_own() -> None:
    stage = four()
    router = router_of(stage, 2, counts_sends=False, policy="round_robin")
    assert [send(stage, router, 0, request_id) for request_id in range(6)] == [0, 0, 1, 1, 2, 2]

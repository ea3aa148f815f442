"""Laws of the orders: nobody is lost, each order keeps its promise, and nobody starves where it says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.policies.ordering import (
    EarliestDeadlineFirst,
    FairQueue,
    FirstComeFirstServed,
    Order,
    PriorityClasses,
    ShortestFirst,
)
from scheduler.policies.waiting import NO_LIMIT_NS, WaitingRequest

ORDERS: dict[str, Callable[[], Order]] = {
    "fcfs": FirstComeFirstServed,
    "edf": EarliestDeadlineFirst,
    "shortest": ShortestFirst,
    "priority": PriorityClasses,
    "fair": FairQueue,
}

LIMITS = st.sampled_from([NO_LIMIT_NS, 10, 50, 200])


@st.composite
def crowds(draw: st.DrawFn) -> list[WaitingRequest]:
    """Requests in order of coming."""
    drawn = draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 99), st.integers(0, 2), LIMITS), min_size=1, max_size=20)
    )
    now_ns, crowd = 0, list[WaitingRequest]()
    for number, (gap_ns, tokens, rank, limit_ns) in enumerate(drawn):
        now_ns += gap_ns
        crowd.append(WaitingRequest(number, now_ns, tokens, rank, rank, limit_ns))
    return crowd


@given(crowd=crowds(), steps=st.lists(st.sampled_from("atr"), max_size=60), name=st.sampled_from(sorted(ORDERS)))
def test_whoever_comes_goes_once_or_is_removed(crowd: list[WaitingRequest], steps: list[str], name: str) -> None:
    order, waiting, coming = ORDERS[name](), list[int](), list(crowd)
    for step in steps:
        if step == "a" and coming:
            order.add(coming[0])
            waiting.append(coming.pop(0).request_id)
        elif step == "t" and waiting:
            first = order.peek()
            assert order.take() is first
            waiting.remove(first.request_id)
        elif step == "r" and waiting:
            order.remove(waiting.pop(len(waiting) // 2))
        order.remove(12345)
        assert len(order) == len(waiting)
    assert sorted(order.take().request_id for _ in list(waiting)) == sorted(waiting)
    with pytest.raises(IndexError):
        order.peek()


def drained(order: Order, crowd: list[WaitingRequest]) -> list[WaitingRequest]:
    for request in crowd:
        order.add(request)
    return [order.take() for _ in crowd]


@given(crowd=crowds())
def test_orders_of_a_crowd_that_waits_together(crowd: list[WaitingRequest]) -> None:
    def by(key: Callable[[WaitingRequest], float]) -> list[WaitingRequest]:
        return sorted(crowd, key=key)

    assert drained(FirstComeFirstServed(), crowd) == crowd
    assert drained(PriorityClasses(), crowd) == by(lambda request: -request.priority)
    assert drained(ShortestFirst(0.0), crowd) == by(lambda request: request.num_tokens)
    unlimited = float("inf")
    assert drained(EarliestDeadlineFirst(), crowd) == by(
        lambda one: one.arrived_ns + (unlimited if one.ttft_limit_ns == NO_LIMIT_NS else one.ttft_limit_ns)
    )


@given(crowd=crowds(), rate=st.sampled_from([0.5e9, 1e9, 5e9]))
def test_shortest_first_lets_nobody_be_overtaken_for_long(crowd: list[WaitingRequest], rate: float) -> None:
    position = {request.request_id: index for index, request in enumerate(drained(ShortestFirst(rate), crowd))}
    for earlier in crowd:
        for later in crowd:
            if position[later.request_id] < position[earlier.request_id]:
                assert later.arrived_ns - earlier.arrived_ns <= earlier.num_tokens / (rate / 1e9)


@given(first=st.lists(st.integers(1, 50), min_size=1, max_size=30), other=st.lists(st.integers(1, 50), min_size=1))
def test_tenants_that_both_wait_are_served_alike_up_to_one_prompt(first: list[int], other: list[int]) -> None:
    order = FairQueue()
    left = [len(first), len(other)]
    for tenant, prompts in enumerate((first, other)):
        for number, tokens in enumerate(prompts):
            order.add(WaitingRequest(1000 * tenant + number, 0, tokens, tenant=tenant))
    while all(left):
        left[order.take().tenant] -= 1
        assert abs(order.counters[0] - order.counters[1]) <= 50


def test_a_tenant_that_idled_has_saved_up_nothing() -> None:
    order = FairQueue()
    for number in range(10):
        order.add(WaitingRequest(number, 0, 10, tenant=0))
    for _ in range(5):
        order.take()
    order.add(WaitingRequest(100, 0, 10, tenant=1))
    order.add(WaitingRequest(101, 0, 10, tenant=1))
    # Of equals the one that was served last goes last.
    assert [order.take().tenant for _ in range(4)] == [1, 0, 1, 0]


def test_output_tokens_count_double() -> None:
    order = FairQueue()
    order.add(WaitingRequest(0, 0, 10, tenant=0))
    order.add(WaitingRequest(1, 0, 10, tenant=1))
    order.charge(0, 3)
    assert order.counters[0] == 6.0
    assert order.take().tenant == 1

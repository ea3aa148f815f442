"""Flows end when they would, however seldom somebody looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from workers.shared_links import STREAM_WEIGHT, SharedLinks

RATE = 1_000_000_000
"""A byte a nanosecond, or a nanobyte of amount each 1e-9 nanoseconds."""

LANES = [((0,), True), ((0, 1), True), ((1,), False)]
puts = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 2), st.integers(1, 3000), st.integers(0, 300)), max_size=12
)


def again_ns(links: SharedLinks) -> int:
    """When to look again as things are now."""
    links.look_again()
    return links.again_ns


def ends(flows: list[tuple[int, int, int, int]], looks: list[int]) -> dict[int, int]:
    links = SharedLinks([3 * RATE // 2, RATE], grace_ns=0)
    for path, is_awaited in LANES:
        links.lane(path, RATE, is_awaited=is_awaited)
    found: list[tuple[int, int]] = []
    events = sorted([(at_ns, flow) for flow, (at_ns, *_) in enumerate(flows)] + [(at_ns, -1) for at_ns in looks])
    for at_ns, flow in events:
        found += links.ended(at_ns)
        if flow >= 0:
            _, lane, weight, size = flows[flow]
            links.put(at_ns, flow, lane, weight, size * RATE)
    found += links.ended(NEVER_NS)
    assert again_ns(links) == NEVER_NS
    return {flow: end_ns for end_ns, flow in found}


@given(puts, st.lists(st.integers(0, 2_000), max_size=20))
def test_ends_do_not_depend_on_when_somebody_looks(flows: list[tuple[int, int, int, int]], looks: list[int]) -> None:
    found = ends(flows, [])
    assert set(found) == set(range(len(flows)))
    assert ends(flows, looks) == found
    for flow, (at_ns, _, _, size) in enumerate(flows):
        assert found[flow] >= at_ns + size


def test_an_awaited_end_is_looked_for_and_others_only_while_they_slow_one() -> None:
    links = SharedLinks([RATE, RATE], grace_ns=50)
    for is_awaited in (True, False):
        links.lane((0,), RATE, is_awaited=is_awaited)
    links.put(0, 1, 1, STREAM_WEIGHT, 100 * RATE)
    assert again_ns(links) == NEVER_NS
    links.put(0, 2, 0, STREAM_WEIGHT, 300 * RATE)
    assert again_ns(links) == 0
    links.share()
    assert again_ns(links) == 200  # the other's end, which speeds it up
    assert links.ended(200) == [(200, 1)]
    assert again_ns(links) == 400 + 50
    assert links.take_off(300, 2) == 100 * RATE
    assert links.take_off(300, 2) == 0
    assert again_ns(links) == NEVER_NS

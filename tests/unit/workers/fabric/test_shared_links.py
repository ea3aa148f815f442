"""Flows end when they would, however seldom somebody looks."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from tests.naive.case import Case
from tests.naive.fabric import Fabric, Flow, Stream
from tests.naive.world import World
from workers.fabric.shared_links import STREAM_WEIGHT, SharedLinks

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
    assert again_ns(links) == 200 + 50  # the other's end, which speeds it up: nobody is told anything within the grace
    assert links.ended(200) == [(200, 1)]
    assert again_ns(links) == 400 + 50
    assert links.take_off(300, 2) == 100 * RATE
    assert links.take_off(300, 2) == 0
    assert again_ns(links) == NEVER_NS


class PlainLinks(Fabric):
    """The naive fabric over links of any capacity, which may change."""

    def __init__(self, capacities: list[int]) -> None:
        super().__init__(World(), Case((), latency_ns=0))
        self.capacities = capacities

    def _capacity(self, link: str) -> int:
        return self.capacities[int(link)]

    def _end_ns(self, stream: Stream) -> int:
        if stream.left <= 0:
            return self.at_ns
        return super()._end_ns(stream) if stream.level else NEVER_NS

    def at(self, now_ns: int) -> None:
        """Time goes on."""
        self.world.now_ns = now_ns
        self._move_on()

    def put(self, lane: int, weight: int, amount: int) -> None:
        """A flow begins."""
        flow = Flow("KV transfer", 0, 0, [], [])
        flow.streams = [Stream(tuple(map(str, LANES[lane][0])), RATE, weight, amount)]
        self.flows.append(flow)
        self._share()

    def take_off(self, number: int) -> int:
        """A flow leaves; answers what it has not moved."""
        (stream,) = self.flows[number].streams
        stream.has_left_links = True
        self._share()
        return stream.left

    def set_capacities(self, capacities: list[int]) -> None:
        """Links carry so much."""
        self.capacities = capacities
        self._share()


capacity = st.sampled_from([0, 1, RATE // 7, RATE // 2 + 1, RATE, 3 * RATE])
changes = st.lists(st.tuples(st.integers(0, 800), st.tuples(capacity, capacity)), max_size=5)
departures = st.lists(st.tuples(st.integers(0, 800), st.integers(0, 11)), max_size=3)


@given(puts, changes, departures, st.lists(st.integers(0, 2_000), max_size=8))
@example(flows=[(0, 0, 1537, 0)], broken=[], leaving=[(0, 0)], looks=[])
def test_ends_are_those_of_a_plain_simulation_whatever_becomes_of_the_links(
    flows: list[tuple[int, int, int, int]],
    broken: list[tuple[int, tuple[int, int]]],
    leaving: list[tuple[int, int]],
    looks: list[int],
) -> None:
    whole = [3 * RATE // 2, RATE]
    links, plain = SharedLinks(whole, grace_ns=0), PlainLinks(whole)
    for path, is_awaited in LANES:
        links.lane(path, RATE, is_awaited=is_awaited)
    found: dict[int, int] = {}
    events: list[tuple[int, int, tuple[int, ...]]] = [(at_ns, 0, tuple(rest)) for at_ns, *rest in flows]
    events += [(at_ns, 1, rates) for at_ns, rates in broken] + [(at_ns, 2, (flow,)) for at_ns, flow in leaving]
    events += [(at_ns, 3, ()) for at_ns in looks] + [(2_000, 1, tuple(whole))]
    num_put, gone = 0, set[int]()
    flows_put = sorted(flows, key=lambda flow: flow[0])
    for at_ns, kind, what in sorted(events, key=lambda event: event[:2]):
        found |= {flow: end_ns for end_ns, flow in links.ended(at_ns)}
        plain.at(at_ns)
        if kind == 0:
            lane, weight, size = what
            links.put(at_ns, num_put, lane, weight, size * RATE)
            plain.put(lane, weight, size * RATE)
            num_put += 1
        elif kind == 1:
            links.set_capacities(at_ns, what)
            plain.set_capacities(list(what))
        elif kind == 2 and what[0] < num_put and what[0] not in gone:
            if (at_ns, 0) == (flows_put[what[0]][0], flows_put[what[0]][3]):
                continue  # nothing to move: it ends and leaves at one instant, and either may come first
            gone.add(what[0])
            assert links.take_off(at_ns, what[0]) == plain.take_off(what[0])
    found |= {flow: end_ns for end_ns, flow in links.ended(NEVER_NS)}
    plain.at(NEVER_NS)
    assert found == {number: flow.done_ns for number, flow in enumerate(plain.flows) if flow.done_ns is not None}
    assert found.keys() | gone == set(range(num_put))

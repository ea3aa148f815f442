"""Flows under way on shared links: how far each has come, and when the next one ends.

The general link model: any flows over any links, max-min fair (`max_min`). Finding all shares anew at every event, and
all ends from them, costs as much as there are flows. Three observations make it cost as much as changes.

*Lanes.* Flows that take the same links under the same limit have the same rate at any time, so one number (`moved`)
tells how far a stream of each has come, and a flow ends when it reaches a target that was known when the flow began
(as with one rank in `rank_links`). A heap for each lane has its targets in order.

*Clocks.* Lanes that one link alone holds back (a `Group`) all stand at the level of that link. One clock counts for all
of them, and each lane keeps by how much it is `ahead` of the clock. When a flow ends there, the level of the group is a
division, and all lanes of the link have their new rate at once. That is the usual case of a saturated link, such as
the pool's, and costs no more than an end on a link that binds nobody.

*Due times are lazy.* Each lane or clock has an entry with the time of its first end in one of two heaps. If that time
changes a new entry is pushed and the old one is stale: it is known by no longer being the time that the lane or clock
has. Ends that somebody waits for, or that may make such an end earlier, are in the heap that wakes the fabric. All
others are settled when the plane is next looked at.

An end is told a latency later at the earliest, so nobody need wake for it before `grace_ns`, the least latency of the
plane, has passed: ends that are close together are found in one wake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from workers.fabric.max_min import FairShares, Group, Path

STREAM_WEIGHT: Final = 1024
"""Weight of one stream in the fair shares: so finely a flow can be part of one."""

_Due = tuple[int, int]
"""(time at which the first flow ends, lane, or ~link for a clock); stale if it is no longer that time."""


class _Lane:
    """Flows that take the same path, and so have the same rate at any time.

    `moved`: what a stream had moved in all at `at_ns`, and `level` what it moves since. While a clock counts for the
    lane, that is what the clock has counted, and `ahead`.
    """

    __slots__ = ("ahead", "at_ns", "clock", "due_ns", "dues", "ending", "index", "is_awaited", "level", "moved")

    def __init__(self, index: int, level: int, dues: list[_Due], *, is_awaited: bool) -> None:
        self.index = index
        self.level = level
        self.is_awaited = is_awaited
        self.moved = 0
        self.at_ns = 0
        self.clock: _Clock | None = None
        self.ahead = 0
        # (what a stream will have moved when the flow ends, flow); who was taken off is skipped.
        self.ending: list[tuple[int, int]] = []
        self.due_ns = NEVER_NS
        self.dues = dues

    def advance(self, now_ns: int) -> int:
        """What a stream has moved in all up to now."""
        clock = self.clock
        if clock is not None:
            return clock.advance(now_ns) + self.ahead
        self.moved += self.level * (now_ns - self.at_ns)
        self.at_ns = now_ns
        return self.moved


class _Clock:
    """What a stream moves that one link alone holds back, for all lanes over that link at once."""

    __slots__ = ("at_ns", "due_ns", "dues", "ending", "group", "level", "moved")

    def __init__(self, group: Group, dues: list[_Due]) -> None:
        self.group = group
        self.level = 0
        self.moved = 0
        self.at_ns = 0
        # (what a stream will have moved when the first flow of a lane ends, lane).
        self.ending: list[tuple[int, int]] = []
        self.due_ns = NEVER_NS
        self.dues = dues

    def advance(self, now_ns: int) -> int:
        """What a stream has moved in all up to now."""
        self.moved += self.level * (now_ns - self.at_ns)
        self.at_ns = now_ns
        return self.moved


class SharedLinks:
    """Flows on the links of one plane: `put`, `take_off`, and `ended` to find whose last byte has left.

    An amount is what each stream of a flow has to move: nanobytes, since rates are whole bytes a second and times whole
    nanoseconds. A flow ends at the first nanosecond at which all of it has moved.

    Ends on awaited lanes are to be told, `grace_ns` after the time at the earliest; others may be settled late.
    """

    def __init__(self, capacities_bytes_per_s: Sequence[int], grace_ns: int) -> None:
        self.again_ns = NEVER_NS
        """When to look again, as of the last `look_again`."""
        self._grace_ns = grace_ns
        self._shares = FairShares([STREAM_WEIGHT * capacity for capacity in capacities_bytes_per_s])
        self._lanes: list[_Lane] = []
        self._clocks: dict[int, _Clock] = {}
        # (lane, what a stream will have moved, weight) by flow.
        self._flows: dict[int, tuple[_Lane, int, int]] = {}
        self._num_awaited = 0
        # Ends that somebody waits for or that make such an end earlier, and others.
        self._awaited: list[_Due] = []
        self._others: list[_Due] = []
        # When flows came or went whose shares are not found yet: those of one instant are found together.
        self._unshared_ns = NEVER_NS

    def lane(self, links: tuple[int, ...], limit_bytes_per_s: int, *, is_awaited: bool) -> int:
        """A new lane over these links, by its number; a stream on it moves at most that much."""
        index = self._shares.add_path(Path(links, limit_bytes_per_s))
        dues = self._awaited if is_awaited else self._others
        self._lanes.append(_Lane(index, limit_bytes_per_s, dues, is_awaited=is_awaited))
        return index

    def set_capacities(self, now_ns: int, capacities_bytes_per_s: Sequence[int]) -> None:
        """The links carry so much from now on, after `ended` up to now; where one carries nothing, nothing moves."""
        for link, capacity in enumerate(capacities_bytes_per_s):
            self._shares.set_capacity(link, STREAM_WEIGHT * capacity)
        self._unshared_ns = now_ns

    def set_link(self, now_ns: int, link: int, capacity_bytes_per_s: int, limits: Mapping[int, int]) -> None:
        """A link carries so much from now on, and a stream on these lanes moves at most so much; after `ended`."""
        shares = self._shares
        shares.set_capacity(link, STREAM_WEIGHT * capacity_bytes_per_s)
        for lane, limit in limits.items():
            shares.set_limit(lane, limit)
        if not shares.has_flows(link):
            return
        self._unshared_ns = now_ns
        if not shares.is_tight:  # nothing else that comes at this instant can matter to this
            self._share(now_ns)

    def set_steady(self, now_ns: int, lane: int, weight: int) -> None:
        """So much more weight, or less if negative, flows on a lane without an end; after `ended` up to now."""
        if self._shares.add(lane, weight):
            self._unshared_ns = now_ns

    def put(self, now_ns: int, flow: int, lane: int, weight: int, amount: int) -> None:
        """A flow begins, after `ended` up to now; `STREAM_WEIGHT` is one stream."""
        shares, on = self._shares, self._lanes[lane]
        is_touched = shares.add(lane, weight)
        if shares.weights[lane] == weight:  # it comes to an empty lane
            on.ending.clear()
            on.clock = None
            on.level = shares.level(lane)
            on.at_ns = now_ns
            target = on.moved + amount
        else:
            target = on.advance(now_ns) + amount
        heappush(on.ending, (target, flow))
        self._flows[flow] = on, target, weight
        if on.is_awaited:
            self._num_awaited += 1
        if is_touched:
            self._unshared_ns = now_ns
        elif on.ending[0][1] == flow:
            self._await_lane(on)

    def take_off(self, now_ns: int, flow: int) -> int:
        """A flow leaves before its end; returns what each of its streams has not moved, 0 if it has ended."""
        if flow not in self._flows:
            return 0
        on, target, weight = self._flows.pop(flow)
        left = max(0, target - on.advance(now_ns))
        if on.is_awaited:
            self._num_awaited -= 1
        if self._shares.add(on.index, -weight):
            self._unshared_ns = now_ns
        if on.clock is None:
            self._await_lane(on)
        return left

    def share(self) -> None:
        """Find the shares anew, now that all that comes and goes at this instant has done so."""
        if self._unshared_ns != NEVER_NS:
            self._share(self._unshared_ns)

    def ended(self, until_ns: int) -> list[tuple[int, int]]:
        """(time, flow) of those that end by then; they are off the links from that time on."""
        found: list[tuple[int, int]] = []
        if self._unshared_ns < until_ns:
            self._share(self._unshared_ns)
        awaited, others, lanes = self._awaited, self._others, self._lanes
        while True:
            dues = awaited if awaited and (not others or awaited[0] < others[0]) else others
            if not dues or dues[0][0] > until_ns:
                return found
            end_ns, number = heappop(dues)
            if number >= 0:
                if lanes[number].due_ns == end_ns:
                    self._end_of_lane(end_ns, lanes[number], found)
            else:
                clock = self._clocks.get(~number)
                if clock is not None and clock.due_ns == end_ns:
                    self._end_of_clock(end_ns, clock, found)

    def look_again(self) -> None:
        """Note in `again_ns` when to look again: at once for `share` when flows came or went beside some that somebody
        waits for, else when the next end may be told that is awaited or may make such a one earlier."""
        if not self._num_awaited:
            self.again_ns = NEVER_NS
        elif self._unshared_ns != NEVER_NS:
            self.again_ns = self._unshared_ns
        else:
            awaited = self._awaited
            while awaited and self._is_stale(*awaited[0]):
                heappop(awaited)
            self.again_ns = awaited[0][0] + self._grace_ns if awaited else NEVER_NS

    def _is_stale(self, due_ns: int, number: int) -> bool:
        if number >= 0:
            return self._lanes[number].due_ns != due_ns
        clock = self._clocks.get(~number)
        return clock is None or clock.due_ns != due_ns

    def _end_of_lane(self, end_ns: int, on: _Lane, found: list[tuple[int, int]]) -> None:
        on.due_ns = NEVER_NS
        gone = self._take_ended(end_ns, on, on.advance(end_ns), found)
        if gone and self._shares.add(on.index, -gone):
            self._share(end_ns)
        if on.ending and on.clock is None:
            self._await_lane(on)

    def _end_of_clock(self, end_ns: int, clock: _Clock, found: list[tuple[int, int]]) -> None:
        moved, ending, lanes, shares, group = (
            clock.advance(end_ns),
            clock.ending,
            self._lanes,
            self._shares,
            clock.group,
        )
        clock.due_ns = NEVER_NS
        while ending and ending[0][0] <= moved:
            on = lanes[heappop(ending)[1]]
            shares.leave(group, on.index, self._take_ended(end_ns, on, moved + on.ahead, found))
            if on.ending:
                heappush(ending, (on.ending[0][0] - on.ahead, on.index))
        if self._unshared_ns == NEVER_NS and shares.regroup(group):
            clock.level = group.level
            self._await_clock(clock)
        else:
            self._share(end_ns)

    def _take_ended(self, end_ns: int, on: _Lane, moved: int, found: list[tuple[int, int]]) -> int:
        """The weight of all flows of a lane that have moved all of theirs."""
        ending, flows, gone, num_gone = on.ending, self._flows, 0, 0
        while ending and (ending[0][0] <= moved or ending[0][1] not in flows):
            flow = heappop(ending)[1]
            if flow in flows:
                gone += flows.pop(flow)[2]
                num_gone += 1
                found.append((end_ns, flow))
        if on.is_awaited:
            self._num_awaited -= num_gone
        return gone

    def _share(self, now_ns: int) -> None:
        """Levels change, and with them the times at which flows end."""
        self._unshared_ns = NEVER_NS
        changes, lanes = self._shares.share_out(), self._lanes
        for link in changes.dissolved:
            self._clocks[link].due_ns = NEVER_NS
        for group in changes.groups:
            self._follow(now_ns, group)
        for lane in changes.contended:
            # Each end may let others of these move faster, so that somebody who waits may wait for any.
            self._set_level(now_ns, lanes[lane], self._awaited)
        for lane in changes.free:
            on = lanes[lane]
            self._set_level(now_ns, on, self._awaited if on.is_awaited else self._others)

    def _follow(self, now_ns: int, group: Group) -> None:
        """One clock counts for all lanes of a group."""
        clock = self._clocks.get(group.link)
        if clock is None:
            clock = self._clocks[group.link] = _Clock(group, self._others)
        moved = clock.advance(now_ns)
        clock.group, clock.level = group, group.level
        dues = self._others
        ending: list[tuple[int, int]] = []
        for lane in group.paths:
            on = self._lanes[lane]
            first = self._first(on)
            if first is None:
                continue
            if on.clock is not clock:
                on.ahead = on.advance(now_ns) - moved
                on.clock = clock
                on.due_ns = NEVER_NS
            ending.append((first - on.ahead, lane))
            if on.is_awaited:
                dues = self._awaited
        heapify(ending)
        clock.ending = ending
        if clock.dues is not dues:
            clock.dues = dues
            clock.due_ns = NEVER_NS
        self._await_clock(clock)

    def _set_level(self, now_ns: int, on: _Lane, dues: list[_Due]) -> None:
        """A lane moves on its own."""
        level = self._shares.level(on.index)
        if on.clock is not None or on.level != level:
            on.moved = on.advance(now_ns)
            on.at_ns = now_ns
            on.clock = None
            on.level = level
        if on.dues is not dues:
            on.dues = dues
            on.due_ns = NEVER_NS
        self._await_lane(on)

    def _first(self, on: _Lane) -> int | None:
        """What a stream will have moved when the first flow ends."""
        ending, flows = on.ending, self._flows
        while ending:
            if ending[0][1] in flows:
                return ending[0][0]
            heappop(ending)
        return None

    def _await_lane(self, on: _Lane) -> None:
        first, due_ns = self._first(on), NEVER_NS
        if first is not None:
            left = first - on.moved
            if left <= 0:
                due_ns = on.at_ns
            elif on.level:
                due_ns = on.at_ns - (-left // on.level)
        if due_ns != on.due_ns:
            on.due_ns = due_ns
            if due_ns != NEVER_NS:
                heappush(on.dues, (due_ns, on.index))

    def _await_clock(self, clock: _Clock) -> None:
        due_ns = NEVER_NS
        if clock.ending:
            left = clock.ending[0][0] - clock.moved
            if left <= 0:
                due_ns = clock.at_ns
            elif clock.level:
                due_ns = clock.at_ns - (-left // clock.level)
        if due_ns != clock.due_ns:
            clock.due_ns = due_ns
            if due_ns != NEVER_NS:
                heappush(clock.dues, (due_ns, ~clock.group.link))

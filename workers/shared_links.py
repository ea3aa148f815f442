"""Flows under way on shared links: how far each has come, and when the next one ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from sim_hw.network.max_min import FairShares, Path

STREAM_WEIGHT: Final = 1024
"""Weight of one stream in the fair shares: so finely a flow can be part of one."""


class SharedLinks:
    """Flows of one lane take the same path, so all its streams have had the same since any time: one number tells how
    far all of them have come, and a heap which of them ends first. Cost grows with lanes, not with flows.

    As long as no link binds, all move at their limits, and each flow's end is known when it begins.

    An amount is what each stream of a flow has to move: nanobytes, since rates are whole bytes a second and times whole
    nanoseconds. A flow ends at the first nanosecond at which all of it has moved.

    Ends on awaited lanes are to be told, `grace_ns` after the time at the earliest; others may be settled late.
    """

    def __init__(self, capacities_bytes_per_s: Sequence[int], grace_ns: int) -> None:
        self.again_ns = NEVER_NS
        """When to look again, as of the last `look_again`."""
        self._grace_ns = grace_ns
        self._shares = FairShares([STREAM_WEIGHT * capacity for capacity in capacities_bytes_per_s])
        # By lane: what a stream moves, what one has moved in all, up to when, and when the first flow ends.
        self._levels: list[int] = []
        self._moved: list[int] = []
        self._at_ns: list[int] = []
        self._due_ns: list[int] = []
        self._limits: list[int] = []
        self._is_free = True
        # (lane, weight, begin, amount, end) by flow, while no link binds.
        self._free: dict[int, tuple[int, int, int, int, int]] = {}
        # By lane: (what a stream will have moved when the flow ends, flow). Who was taken off is skipped.
        self._ending: list[list[tuple[int, int]]] = []
        # (lane, what a stream will have moved, weight) by flow.
        self._flows: dict[int, tuple[int, int, int]] = {}
        # (time at which the first flow of a lane ends, lane), while no link binds (end of a flow, flow); an entry is
        # stale if it is no longer that time.
        self._awaited: list[tuple[int, int]] = []
        self._others: list[tuple[int, int]] = []
        # When flows came or went whose shares are not found yet: those of one instant are found together.
        self._unshared_ns = NEVER_NS
        self._ends: list[list[tuple[int, int]]] = []

    def lane(self, links: tuple[int, ...], limit_bytes_per_s: int, *, is_awaited: bool) -> int:
        """A new lane over these links, by its number; a stream on it moves at most that much."""
        lane = self._shares.add_path(Path(links, limit_bytes_per_s))
        self._levels.append(limit_bytes_per_s)
        self._moved.append(0)
        self._at_ns.append(0)
        self._due_ns.append(NEVER_NS)
        self._limits.append(limit_bytes_per_s)
        self._ending.append([])
        self._ends.append(self._awaited if is_awaited else self._others)
        return lane

    def set_capacities(self, now_ns: int, capacities_bytes_per_s: Sequence[int]) -> None:
        """The links carry so much from now on, after `ended` up to now; where one carries nothing, nothing moves."""
        for link, capacity in enumerate(capacities_bytes_per_s):
            self._shares.set_capacity(link, STREAM_WEIGHT * capacity)
        if self._is_free:
            if not self._shares.is_tight:
                return
            self._share_from_now(now_ns)
        self._unshared_ns = now_ns

    def set_link(self, now_ns: int, link: int, capacity_bytes_per_s: int, limits: Mapping[int, int]) -> None:
        """A link carries so much from now on, and a stream on these lanes moves at most so much; after `ended`."""
        shares = self._shares
        shares.set_capacity(link, STREAM_WEIGHT * capacity_bytes_per_s)
        for lane, limit in limits.items():
            shares.set_limit(lane, limit)
        if self._is_free and not shares.is_tight:
            shares.share_out()
            for lane, limit in limits.items():
                self._limit_free(now_ns, lane, limit)
            return
        if self._is_free:
            self._share_from_now(now_ns)
        for lane, limit in limits.items():
            self._limits[lane] = limit
        self._unshared_ns = now_ns

    def set_steady(self, now_ns: int, lane: int, weight: int) -> None:
        """So much more weight, or less if negative, flows on a lane without an end; after `ended` up to now."""
        if self._shares.add(lane, weight):
            if self._is_free:
                self._share_from_now(now_ns)
            self._unshared_ns = now_ns

    def put(self, now_ns: int, flow: int, lane: int, weight: int, amount: int) -> None:
        """A flow begins, after `ended` up to now; `STREAM_WEIGHT` is one stream."""
        is_touched = self._shares.add(lane, weight)
        if self._is_free:
            if not self._shares.is_tight:
                end_ns = now_ns - (-amount // self._limits[lane])
                self._free[flow] = (lane, weight, now_ns, amount, end_ns)
                heappush(self._ends[lane], (end_ns, flow))
                return
            self._share_from_now(now_ns)
        ending = self._ending[lane]
        if ending:
            self._advance(lane, now_ns)
        else:
            self._at_ns[lane] = now_ns
        target = self._moved[lane] + amount
        self._flows[flow] = (lane, target, weight)
        heappush(ending, (target, flow))
        if is_touched:
            self._unshared_ns = now_ns
        if ending[0][1] == flow:
            self._await_first(lane)

    def take_off(self, now_ns: int, flow: int) -> int:
        """A flow leaves before its end; answers what each of its streams has not moved, 0 if it has ended."""
        if flow in self._free:
            lane, weight, began_ns, amount, _ = self._free.pop(flow)
            self._shares.add(lane, -weight)
            return max(0, amount - self._limits[lane] * (now_ns - began_ns))
        if flow not in self._flows:
            return 0
        lane, target, weight = self._flows.pop(flow)
        self._advance(lane, now_ns)
        if self._shares.add(lane, -weight):
            self._unshared_ns = now_ns
        self._await_first(lane)
        return max(0, target - self._moved[lane])

    def share(self) -> None:
        """All that comes and goes at this instant has done so."""
        if self._unshared_ns != NEVER_NS:
            self._share(self._unshared_ns)

    def ended(self, until_ns: int) -> list[tuple[int, int]]:
        """(time, flow) of those that end by then; they are off the links from that time on."""
        found: list[tuple[int, int]] = []
        awaited, others, due_ns = self._awaited, self._others, self._due_ns
        if self._is_free:
            for heap in (awaited, others):
                if heap and heap[0][0] <= until_ns:
                    self._end_free(heap, until_ns, found)
            return found
        if self._unshared_ns < until_ns:
            self._share(self._unshared_ns)
        while True:
            heap = awaited if awaited and (not others or awaited[0] < others[0]) else others
            if not heap or heap[0][0] > until_ns:
                break
            end_ns, lane = heappop(heap)
            if due_ns[lane] == end_ns:
                self._end_first(end_ns, lane, found)
        if not self._flows and self._unshared_ns == NEVER_NS:
            self._is_free = True
            awaited.clear()
            others.clear()
        return found

    def look_again(self) -> None:
        """Note in `again_ns` when to look again: when an awaited end may be told; if a link binds, at any end that may
        speed it up, and at once for `share` when flows came or went."""
        self.again_ns = self._again_ns()

    def _again_ns(self) -> int:
        awaited, others, due_ns = self._awaited, self._others, self._due_ns
        if self._is_free:
            free = self._free
            while awaited and (awaited[0][1] not in free or free[awaited[0][1]][4] != awaited[0][0]):
                heappop(awaited)
            return awaited[0][0] + self._grace_ns if awaited else NEVER_NS
        if self._unshared_ns != NEVER_NS:
            return self._unshared_ns
        while awaited and due_ns[awaited[0][1]] != awaited[0][0]:
            heappop(awaited)
        if not awaited:
            return NEVER_NS
        if not self._shares.is_tight:
            return awaited[0][0] + self._grace_ns
        while others and due_ns[others[0][1]] != others[0][0]:
            heappop(others)
        return min(awaited[0][0], others[0][0]) if others else awaited[0][0]

    def _limit_free(self, now_ns: int, lane: int, limit: int) -> None:
        """No link binds, and what flows on a lane goes on at another rate."""
        before, self._limits[lane], self._levels[lane] = self._limits[lane], limit, limit
        for flow, (on, weight, began_ns, amount, _) in self._free.items():
            if on == lane:
                left = amount - before * (now_ns - began_ns)
                end_ns = now_ns - (-left // limit)
                self._free[flow] = (lane, weight, now_ns, left, end_ns)
                heappush(self._ends[lane], (end_ns, flow))

    def _end_free(self, heap: list[tuple[int, int]], until_ns: int, found: list[tuple[int, int]]) -> None:
        free, shares = self._free, self._shares
        while heap and heap[0][0] <= until_ns:
            end = heappop(heap)
            known = free.get(end[1])
            if known is not None and known[4] == end[0]:
                del free[end[1]]
                shares.add(known[0], -known[1])
                found.append(end)

    def _share_from_now(self, now_ns: int) -> None:
        """A link binds, so that ends that were known are so no longer."""
        self._is_free = False
        self._awaited.clear()
        self._others.clear()
        lanes: dict[int, None] = {}
        for flow, (lane, weight, began_ns, amount, _) in self._free.items():
            target = self._moved[lane] + amount - self._limits[lane] * (now_ns - began_ns)
            self._at_ns[lane] = now_ns
            self._flows[flow] = (lane, target, weight)
            heappush(self._ending[lane], (target, flow))
            lanes[lane] = None
        self._free.clear()
        for lane in lanes:
            self._await_first(lane)

    def _end_first(self, end_ns: int, lane: int, found: list[tuple[int, int]]) -> None:
        self._advance(lane, end_ns)
        ending, flows, moved = self._ending[lane], self._flows, self._moved[lane]
        gone = 0
        while ending and ending[0][0] <= moved:
            target, flow = heappop(ending)
            known = flows.get(flow)
            if known is not None and known[0] == lane and known[1] == target:
                del flows[flow]
                gone += known[2]
                found.append((end_ns, flow))
        if self._shares.add(lane, -gone):
            self._share(end_ns)
        self._await_first(lane)

    def _share(self, now_ns: int) -> None:
        """Levels change, and with them the times at which flows end."""
        self._unshared_ns = NEVER_NS
        levels = self._shares.levels
        for lane in self._shares.share_out():
            if self._ending[lane]:
                self._advance(lane, now_ns)
                self._levels[lane] = levels[lane]
                self._await_first(lane)
            else:
                self._levels[lane] = levels[lane]

    def _advance(self, lane: int, now_ns: int) -> None:
        self._moved[lane] += self._levels[lane] * (now_ns - self._at_ns[lane])
        self._at_ns[lane] = now_ns

    def _await_first(self, lane: int) -> None:
        ending, flows, due_ns = self._ending[lane], self._flows, NEVER_NS
        while ending:
            target, flow = ending[0]
            known = flows.get(flow)
            if known is not None and known[0] == lane and known[1] == target:
                level, left = self._levels[lane], target - self._moved[lane]
                if level or left <= 0:
                    due_ns = self._at_ns[lane] + (-(-left // level) if left > 0 else 0)
                break
            heappop(ending)
        if due_ns != self._due_ns[lane]:
            self._due_ns[lane] = due_ns
            if due_ns != NEVER_NS:
                heappush(self._ends[lane], (due_ns, lane))

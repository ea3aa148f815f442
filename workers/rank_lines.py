"""Hand-overs on the lines of dies: what leaves one rank shares its line evenly, so that one number tells how far all of
it has come.

That holds as long as no die takes from two ranks at once, as every die reads from one rank of an instance. Where flows
of two instances meet at a die, or a line is not whole, those ranks are tangled: their flows move by `SharedLinks` until
the last of them has ended. Both count alike, to the nanosecond; this costs a fraction, and wakes once per transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from workers.fabric_ways import Way
from workers.shared_links import STREAM_WEIGHT, SharedLinks
from workers.transfer import Transfer

_TANGLED: Final = -1
"""In place of the rank that feeds a die: flows on `SharedLinks` do."""


class _RankLine:
    """The line out of one rank. `moved`: what a stream had moved in all at `at_ns`, and `level` what it moves since.

    `ending`: (what a stream will have moved when a flow ends, flow) of the `num_flows` on it; others were taken off.
    `num_tangled` flows of this rank are on `SharedLinks`.
    """

    __slots__ = ("at_ns", "capacity", "ending", "level", "limit", "link", "moved", "num_flows", "num_tangled")

    def __init__(self, link: int, capacity: int, limit: int) -> None:
        self.link = link
        self.capacity = capacity
        self.limit = limit
        self.moved = 0
        self.at_ns = 0
        self.level = 0
        self.num_flows = 0
        self.num_tangled = 0
        self.ending: list[tuple[int, int]] = []

    def level_of(self, num_flows: int) -> int:
        """What a stream moves when there are so many."""
        return min(self.limit, self.capacity // num_flows)


class RankLines:
    """`done` collects transfers that have all of their data and no part on the lines any more; who reads it empties it.

    `is_whole`: no line carries less than it should, and nothing else flows on them; set it to False after
    `tangle_all` when that changes.
    """

    def __init__(self, links: SharedLinks, capacities: Sequence[int], num_layers: int, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self.done: list[Transfer] = []
        self._links = links
        self._capacities = list(capacities)
        self._num_layers = num_layers
        self._next_flow = 0
        self._lines: dict[int, _RankLine] = {}
        # Flows on lines of ranks, with what a stream will have moved; and those on `SharedLinks`.
        self._flows: dict[int, tuple[_RankLine, int, Transfer, Way]] = {}
        self._tangled: dict[int, tuple[_RankLine, Transfer, Way]] = {}
        # How many flows end at a die's link, and from which rank they come.
        self._num_on_die = [0] * len(capacities)
        self._fed_by = [_TANGLED] * len(capacities)
        # (time at which a transfer is done unless others delay it, its id, transfer).
        self._expected: list[tuple[int, int, Transfer]] = []

    @property
    def next_ns(self) -> int:
        """When `look` may find a transfer done."""
        return self._expected[0][0] if self._expected else NEVER_NS

    def start(self, now_ns: int, transfer: Transfer, ways: Sequence[Way]) -> None:
        """All of it flows, or all but the last layer's share if its data is still being made; after `settle`."""
        is_made, num_layers, parts = transfer.made_ns is not None, self._num_layers, transfer.parts
        for way, num_tokens in zip(ways, transfer.message.num_tokens, strict=True):
            weight, amount = way.load(num_tokens)
            rest = 0 if is_made else -(-amount // num_layers)
            parts.append((self._put(now_ns, transfer, way, amount - rest), way, weight, rest))
        if is_made:
            self._expect(transfer)

    def finish(self, now_ns: int, transfer: Transfer) -> None:
        """All of its data is there since now; after `settle`."""
        hidden = transfer.parts
        self.roll(now_ns, transfer)
        transfer.made_ns = now_ns
        transfer.hidden_ns = (now_ns if transfer.num_moving else transfer.end_ns) - transfer.started_ns
        left = [self._take_off(now_ns, transfer, flow) for flow, _, _, _ in hidden] if transfer.num_moving else ()
        transfer.parts = [
            (self._put(now_ns, transfer, way, rest + (left[index] if left else 0)), way, weight, 0)
            for index, (_, way, weight, rest) in enumerate(hidden)
        ]
        self._expect(transfer)

    def roll(self, now_ns: int, transfer: Transfer) -> None:
        """Its flows on lines of ranks that end by now have ended; after `settle`."""
        flows = self._flows
        for flow, _, _, _ in transfer.parts:
            flowing = flows.get(flow)
            if flowing is not None:
                self._roll(flowing[0], now_ns)

    def take_off(self, now_ns: int, transfer: Transfer) -> None:
        """It leaves the lines, so that others move faster; after `roll`."""
        lines = {self._flows[flow][0] for flow, _, _, _ in transfer.parts if flow in self._flows}
        for flow, _, _, _ in transfer.parts:
            self._take_off(now_ns, transfer, flow)
        transfer.parts = []
        beside = {flow: self._flows[flow][2] for line in lines for _, flow in line.ending if flow in self._flows}
        for other in {other.message.transfer_id: other for other in beside.values()}.values():
            if other.made_ns is not None:
                self._expect(other)

    def settle(self, now_ns: int) -> None:
        """Flows on `SharedLinks` that end by now are off them; others are looked at when it matters."""
        if not self._tangled:
            return
        for end_ns, flow in self._links.ended(now_ns):
            line, transfer, way = self._tangled.pop(flow)
            line.num_tangled -= 1
            self._num_on_die[way.links[-1]] -= 1
            self._end(transfer, end_ns)

    def look(self, now_ns: int) -> None:
        """Find the transfers that are done by now."""
        expected = self._expected
        while expected and expected[0][0] <= now_ns:
            _, _, transfer = heappop(expected)
            if transfer.num_moving and transfer.parts:
                self.roll(now_ns, transfer)
                if transfer.num_moving:  # others have come meanwhile
                    self._expect(transfer)

    def roll_all(self, now_ns: int) -> None:
        """Every flow that ends by now has ended."""
        for line in self._lines.values():
            self._roll(line, now_ns)

    def tangle_all(self, now_ns: int) -> None:
        """Lines change: what is on them moves by `SharedLinks` from now on."""
        for line in self._lines.values():
            self._tangle(now_ns, line)

    def _put(self, now_ns: int, transfer: Transfer, way: Way, amount: int) -> int:
        flow = self._next_flow
        self._next_flow = flow + 1
        transfer.num_moving += 1
        rank, die = way.links[0], way.links[-1]
        line = self._lines.get(rank)
        if line is None:
            line = self._lines[rank] = _RankLine(rank, self._capacities[rank], way.limit_bytes_per_s)
        if not self._is_apart(now_ns, line, way):
            self._tangle(now_ns, line)
            self._put_tangled(now_ns, flow, (line, transfer, way), amount)
            return flow
        num_flows = line.num_flows
        if num_flows:
            self._roll(line, now_ns)
            num_flows = line.num_flows
        line.at_ns = now_ns
        line.num_flows = num_flows = num_flows + 1
        line.level = line.level_of(num_flows)
        target = line.moved + amount
        heappush(line.ending, (target, flow))
        self._flows[flow] = line, target, transfer, way
        self._num_on_die[die] += 1
        self._fed_by[die] = rank
        return flow

    def _is_apart(self, now_ns: int, line: _RankLine, way: Way) -> bool:
        """Whether a flow meets none of another rank, after others that it met were tangled."""
        rank, die = way.links[0], way.links[-1]
        is_apart = self.is_whole and not line.num_tangled and len(way.links) == 2
        if self._num_on_die[die] and self._fed_by[die] != rank:
            if self._fed_by[die] == _TANGLED:
                return False
            other = self._lines[self._fed_by[die]]
            self._roll(other, now_ns)
            if self._num_on_die[die]:
                self._tangle(now_ns, other)
                return False
        return is_apart and self._capacities[die] >= line.capacity

    def _tangle(self, now_ns: int, line: _RankLine) -> None:
        """What is on a line moves by `SharedLinks` from now on."""
        self._roll(line, now_ns)
        for target, flow in line.ending:
            if flow in self._flows:
                _, _, transfer, way = self._flows.pop(flow)
                self._num_on_die[way.links[-1]] -= 1
                self._put_tangled(now_ns, flow, (line, transfer, way), target - line.moved)
        line.ending.clear()
        line.num_flows = 0

    def _put_tangled(self, now_ns: int, flow: int, of: tuple[_RankLine, Transfer, Way], amount: int) -> None:
        line, transfer, way = of
        die = way.links[-1]
        line.num_tangled += 1
        self._num_on_die[die] += 1
        self._fed_by[die] = _TANGLED
        self._tangled[flow] = of
        self._links.put(now_ns, flow, way.lanes[0 if transfer.made_ns is not None else 1], STREAM_WEIGHT, amount)

    def _take_off(self, now_ns: int, transfer: Transfer, flow: int) -> int:
        """A flow leaves before its end; answers what it has not moved, 0 if it has ended. Its line is rolled."""
        flowing = self._flows.pop(flow, None)
        if flowing is not None:
            line, target, _, way = flowing
            line.num_flows -= 1
            line.level = line.level_of(line.num_flows) if line.num_flows else 0
            left = target - line.moved
        else:
            tangled = self._tangled.pop(flow, None)
            if tangled is None:
                return 0
            line, _, way = tangled
            line.num_tangled -= 1
            left = self._links.take_off(now_ns, flow)
        self._num_on_die[way.links[-1]] -= 1
        transfer.num_moving -= 1
        return left

    def _roll(self, line: _RankLine, now_ns: int) -> None:
        """Whose last byte has left by now is off the line."""
        ending, flows = line.ending, self._flows
        while ending:
            target, flow = ending[0]
            if flow not in flows:
                heappop(ending)
                continue
            left = target - line.moved
            end_ns = line.at_ns - (-left // line.level) if left > 0 else line.at_ns
            if end_ns > now_ns:
                break
            heappop(ending)
            line.moved += line.level * (end_ns - line.at_ns)
            line.at_ns = end_ns
            _, _, transfer, way = flows.pop(flow)
            self._num_on_die[way.links[-1]] -= 1
            line.num_flows -= 1
            line.level = line.level_of(line.num_flows) if line.num_flows else 0
            self._end(transfer, end_ns)
        if ending:
            line.moved += line.level * (now_ns - line.at_ns)
        line.at_ns = now_ns

    def _end(self, transfer: Transfer, end_ns: int) -> None:
        transfer.num_moving -= 1
        if end_ns > transfer.end_ns:
            transfer.end_ns = end_ns
        if not transfer.num_moving and transfer.made_ns is not None:
            self.done.append(transfer)

    def _expect(self, transfer: Transfer) -> None:
        """Note when it is done, as far as its flows on lines of ranks tell: if others come it is later, not earlier."""
        flows, end_ns = self._flows, -1
        for flow, _, _, _ in transfer.parts:
            flowing = flows.get(flow)
            if flowing is not None:
                end_ns = max(end_ns, self._end_on(flowing[0], flowing[1]))
        if end_ns >= 0:
            way = transfer.parts[0][1]
            heappush(self._expected, (end_ns + way.latency_ns, transfer.message.transfer_id, transfer))

    def _end_on(self, line: _RankLine, target: int) -> int:
        """When a flow with this target ends if nobody comes."""
        num_flows, level, moved, at_ns = line.num_flows, line.level, line.moved, line.at_ns
        if num_flows == 1 or len(line.ending) == 1:
            return at_ns - (-(target - moved) // level) if target > moved else at_ns
        for next_target in self._targets(line):
            if next_target > moved:
                taken_ns = -(-(next_target - moved) // level)
                moved += level * taken_ns
                at_ns += taken_ns
            if next_target >= target:
                break
            num_flows -= 1
            level = line.level_of(num_flows)
        return at_ns

    def _targets(self, line: _RankLine) -> Iterable[int]:
        flows = self._flows
        return sorted(target for target, flow in line.ending if flow in flows)

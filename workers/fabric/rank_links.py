"""KV transfers on the links of dies: what leaves one rank shares its link evenly, so that one number tells how far all
of it has come.

That holds as long as no die takes from two ranks at once, as every die reads from one rank of an instance. Where flows
of two instances meet at a die, or a line is not whole, those ranks are tangled: their flows move by `SharedLinks` until
the last of them has ended. Both count alike, to the nanosecond; this costs a fraction, and wakes once per transfer.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from workers.fabric.routes import Way
from workers.fabric.shared_links import STREAM_WEIGHT, SharedLinks
from workers.fabric.transfer import Transfer

_TANGLED: Final = -1
"""In place of the rank that feeds a die: flows on `SharedLinks` do."""

_Flow = tuple[int, int, Transfer, int, Way]


class RankLine:
    """The line out of one rank. `moved`: what a stream had moved in all at `at_ns`, and `level` what it moves since.

    `ending`: (what a stream will have moved when a flow ends, the flow, its transfer, die and way), as a heap.
    `num_tangled` flows of this rank are on `SharedLinks`.
    """

    __slots__ = ("at_ns", "capacity", "ending", "level", "levels", "limit", "moved", "num_tangled", "rank")

    def __init__(self, rank: int, capacity: int, limit: int) -> None:
        self.rank = rank
        self.capacity = capacity
        self.limit = limit
        # By number of flows.
        self.levels = [0]
        self.moved = 0
        self.at_ns = 0
        self.level = 0
        self.num_tangled = 0
        self.ending: list[_Flow] = []

    def make_levels(self, num_flows: int) -> None:
        """What streams move when there are so many, and twice as many."""
        self.levels += [min(self.limit, self.capacity // n) for n in range(len(self.levels), 2 * num_flows + 1)]

    def end_of(self, target: int) -> int:
        """When a flow with this target ends if nobody comes."""
        ending, level, moved, at_ns = self.ending, self.level, self.moved, self.at_ns
        if len(ending) == 1:
            return at_ns - (-(target - moved) // level) if target > moved else at_ns
        num_flows = len(ending)
        for next_target in sorted([flow[0] for flow in ending]):
            if next_target > moved:
                taken_ns = -(-(next_target - moved) // level)
                moved += level * taken_ns
                at_ns += taken_ns
            if next_target >= target:
                break
            num_flows -= 1
            level = self.levels[num_flows]
        return at_ns


class RankLines:
    """`done` collects transfers that have all of their data and no part on the lines any more; who reads it empties it.

    Live, a transfer may start as of a time beyond which other lines were counted already: only its own matter.

    `is_whole`: no line carries less than it should, and nothing else flows on them; set it to False after
    `tangle_all` when that changes.
    """

    def __init__(self, links: SharedLinks, capacities: Sequence[int], num_layers: int, *, is_whole: bool) -> None:
        self.links = links
        self.is_whole = is_whole
        self.done: list[Transfer] = []
        self._capacities = list(capacities)
        self._num_layers = num_layers
        self._now_ns = 0
        self._next_flow = 0
        self._lines: dict[int, RankLine] = {}
        # Of each way: its line, its die, and whether the line is all that binds when no other rank feeds the die.
        self._courses: dict[Way, tuple[RankLine, int, bool]] = {}
        self._tangled: dict[int, tuple[RankLine, Transfer, Way]] = {}
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
        amounts: list[int] = []
        for way, num_tokens in zip(ways, transfer.message.num_tokens, strict=True):
            amount = way.amount(num_tokens)
            rest = 0 if is_made else -(-amount // num_layers)
            parts.append((way, rest))
            amounts.append(amount - rest)
        self._put(now_ns, transfer, amounts)

    def finish(self, now_ns: int, transfer: Transfer) -> None:
        """All of its data is there since now; after `settle`."""
        self.roll(now_ns, transfer)
        transfer.made_ns = now_ns
        transfer.hidden_ns = (now_ns if transfer.num_moving else transfer.end_ns) - transfer.started_ns
        amounts = [rest for _, rest in transfer.parts]
        if transfer.num_moving:
            lefts = self._take_off(transfer)
            amounts = [rest + lefts.get(flow, 0) for flow, rest in enumerate(amounts, transfer.first_flow)]
        self._put(now_ns, transfer, amounts)

    def roll(self, now_ns: int, transfer: Transfer) -> None:
        """Its flows on lines of ranks that end by now have ended; after `settle`."""
        courses = self._courses
        for way, _ in transfer.parts:
            line = courses[way][0]
            if line.ending and line.at_ns <= now_ns:
                self._roll(line, now_ns)

    def take_off(self, transfer: Transfer) -> None:
        """It leaves the lines, so that others move faster; after `roll`."""
        self._take_off(transfer)
        lines = [self._courses[way][0] for way, _ in transfer.parts]
        beside = {other.message.transfer_id: other for line in lines for _, _, other, _, _ in line.ending}
        for other in beside.values():
            if other.made_ns is not None:
                self._expect(other)
        transfer.parts = []

    def settle(self, now_ns: int) -> None:
        """Flows on `SharedLinks` that end by now are off them; others are looked at when it matters."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        if not self._tangled:
            return
        for end_ns, flow in self.links.ended(self._now_ns):
            line, transfer, way = self._tangled.pop(flow)
            line.num_tangled -= 1
            self._num_on_die[way.links[-1]] -= 1
            transfer.num_moving -= 1
            transfer.end_ns = max(transfer.end_ns, end_ns)
            if not transfer.num_moving and transfer.made_ns is not None:
                self.done.append(transfer)

    def look(self, now_ns: int) -> None:
        """Find the transfers that are done by now."""
        expected = self._expected
        while expected and expected[0][0] <= now_ns:
            _, _, transfer = heappop(expected)
            if transfer.num_moving:
                self.roll(now_ns, transfer)
                if transfer.num_moving:  # others have come meanwhile
                    self._expect(transfer)

    def roll_all(self, now_ns: int) -> None:
        """Every flow that ends by now has ended."""
        for line in self._lines.values():
            self._roll(line, now_ns)

    def tangle_all(self) -> None:
        """Lines change: what is on them moves by `SharedLinks` from now on."""
        for line in self._lines.values():
            self._tangle(line)

    def _put(self, now_ns: int, transfer: Transfer, amounts: Sequence[int]) -> None:
        """Each of its parts flows, with that much for each stream to move."""
        parts, courses, num_on_die, fed_by = transfer.parts, self._courses, self._num_on_die, self._fed_by
        transfer.num_moving = len(parts)
        transfer.first_flow = flow = self._next_flow
        targets: list[tuple[RankLine, int]] = []
        for (way, _), amount in zip(parts, amounts):
            line, die, is_apart = courses.get(way) or self._course(way)
            ending = line.ending
            if ending and line.at_ns < now_ns:
                self._roll(line, now_ns)
            if num_on_die[die] and fed_by[die] != line.rank and fed_by[die] != _TANGLED:
                self._roll(self._lines[fed_by[die]], now_ns)
            is_alone = not num_on_die[die] or fed_by[die] == line.rank
            if is_apart and is_alone and self.is_whole and not line.num_tangled:
                num_on_die[die] += 1
                fed_by[die] = line.rank
                if line.at_ns < now_ns:
                    line.at_ns = now_ns
                target = line.moved + amount
                heappush(ending, (target, flow, transfer, die, way))
                num_flows = len(ending)
                if num_flows >= len(line.levels):
                    line.make_levels(num_flows)
                line.level = line.levels[num_flows]
                targets.append((line, target))
            else:
                self._put_beside(flow, (line, transfer, way), amount)
            flow += 1
        self._next_flow = flow
        if transfer.made_ns is not None and targets:
            self._expect(transfer, targets)

    def _course(self, way: Way) -> tuple[RankLine, int, bool]:
        rank, die = way.links[0], way.links[-1]
        line = self._lines.get(rank)
        if line is None:
            line = self._lines[rank] = RankLine(rank, self._capacities[rank], way.limit_bytes_per_s)
        course = self._courses[way] = line, die, len(way.links) == 2 and self._capacities[die] >= line.capacity
        return course

    def _put_beside(self, flow: int, of: tuple[RankLine, Transfer, Way], amount: int) -> None:
        """A flow that may meet those of another rank at its die: both ranks are tangled."""
        line, _, way = of
        die = way.links[-1]
        if self._num_on_die[die] and self._fed_by[die] not in (_TANGLED, line.rank):
            self._tangle(self._lines[self._fed_by[die]])
        self._tangle(line)
        self._put_tangled(flow, of, amount)

    def _tangle(self, line: RankLine) -> None:
        """What is on a line moves by `SharedLinks` from now on."""
        self._roll(line, self._now_ns)
        ending, line.ending = line.ending, []
        for target, flow, transfer, _, way in ending:
            self._num_on_die[way.links[-1]] -= 1
            self._put_tangled(flow, (line, transfer, way), target - line.moved)

    def _put_tangled(self, flow: int, of: tuple[RankLine, Transfer, Way], amount: int) -> None:
        line, transfer, way = of
        die = way.links[-1]
        if not self._tangled:
            self.links.ended(self._now_ns)  # nothing: its lines may have changed while it was not looked at
        line.num_tangled += 1
        self._num_on_die[die] += 1
        self._fed_by[die] = _TANGLED
        self._tangled[flow] = of
        self.links.put(self._now_ns, flow, way.lanes[0 if transfer.made_ns is not None else 1], STREAM_WEIGHT, amount)

    def _take_off(self, transfer: Transfer) -> dict[int, int]:
        """All leaves before its end; answers what each flow under way has not moved. Its lines are rolled."""
        lefts: dict[int, int] = {}
        for flow, (way, _) in enumerate(transfer.parts, transfer.first_flow):
            line = self._courses[way][0]
            tangled = self._tangled.pop(flow, None)
            if tangled is not None:
                line.num_tangled -= 1
                self._num_on_die[way.links[-1]] -= 1
                lefts[flow] = self.links.take_off(self._now_ns, flow)
                continue
            mine = [entry for entry in line.ending if entry[1] == flow]
            if mine:
                line.ending.remove(mine[0])
                heapify(line.ending)
                line.level = line.levels[len(line.ending)]
                self._num_on_die[way.links[-1]] -= 1
                lefts[flow] = mine[0][0] - line.moved
        transfer.num_moving = 0
        return lefts

    def _roll(self, line: RankLine, now_ns: int) -> None:
        """Whose last byte has left by now is off the line, which may have been counted beyond that."""
        if line.at_ns > now_ns:
            return
        ending, num_on_die = line.ending, self._num_on_die
        while ending:
            target, _, transfer, die, _ = ending[0]
            left = target - line.moved
            end_ns = line.at_ns - (-left // line.level) if left > 0 else line.at_ns
            if end_ns > now_ns:
                line.moved += line.level * (now_ns - line.at_ns)
                line.at_ns = now_ns
                break
            heappop(ending)
            line.moved += line.level * (end_ns - line.at_ns)
            line.at_ns = end_ns
            line.level = line.levels[len(ending)]
            num_on_die[die] -= 1
            transfer.num_moving -= 1
            if end_ns > transfer.end_ns:
                transfer.end_ns = end_ns
            if not transfer.num_moving and transfer.made_ns is not None:
                self.done.append(transfer)

    def _expect(self, transfer: Transfer, targets: Sequence[tuple[RankLine, int]] = ()) -> None:
        """Note when it is done, as far as its flows on lines of ranks tell: if others come it is later, not earlier.

        `targets`: of those flows, if they are known.
        """
        if not targets:
            lines = dict.fromkeys(self._courses[way][0] for way, _ in transfer.parts)
            targets = [(line, entry[0]) for line in lines for entry in line.ending if entry[2] is transfer]
        # A line may have been tangled since by another flow of the same transfer.
        ends_ns = [line.end_of(target) for line, target in targets if line.ending]
        if ends_ns:
            way = transfer.parts[0][0]
            heappush(self._expected, (max(ends_ns) + way.latency_ns, transfer.message.transfer_id, transfer))

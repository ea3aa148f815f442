"""KV transfers on the links of ranks: what leaves one rank shares its link evenly, so that one number tells how far
all of it has come.

Why one number for each rank. A prefill rank sends KV to many dies at once, and each die reads from one rank of an
instance. As long as a die's link is no narrower than the rank's and nobody else sends to that die, only the rank's
link can bind, and fair sharing gives each of its n streams the same: `min(limit, capacity // n)`. All of them have
then moved the same since any time at which they were all there. So the link keeps `moved`, what a stream that had
been there from the beginning would have moved (the virtual time of processor sharing). A flow that comes when `moved`
is m with an amount a ends when `moved` reaches m + a: a target that no later arrival or departure changes, only the
speed at which `moved` runs towards it. A heap of targets is the order in which flows end; whoever comes or goes costs
one heap operation, however many flows share the link, and no rate of any other flow is touched.

Why one wake for each transfer. A transfer is done when its last flow is. `_expect` computes when that will be if
nobody else comes. Arrivals can only make it later, so they leave the estimate as it is: when it falls due, `look`
counts its links up to then and, if flows are still moving, estimates again. Only what makes others faster before their
time, a transfer that is taken off, renews the estimates beside it.

Where it does not hold. Flows of two prefill instances meet at a die, a die's link is narrower, the route leads to
another supernode, a part is broken, or something else flows on the plane: then other links may bind too, and the ranks
concerned are contended. All that is on them moves to `SharedLinks`, with what is left of each flow, and a rank comes
back when its last flow there has ended. Both models count in the same whole numbers and agree to the nanosecond
(`tests/unit/workers/fabric/test_fabric_laws.py`); this one costs a fraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.fabric_messages import TransferKind
from workers.fabric.routes import Route
from workers.fabric.shared_links import STREAM_WEIGHT, SharedLinks
from workers.fabric.transfer import Transfer

_CONTENDED: Final = -1
"""In place of the rank that feeds a die: flows on `SharedLinks` do."""

_CACHE_WRITE: Final = TransferKind.CACHE_WRITE
"""What decode instances write to the own caches of prefill instances, the only such traffic on this plane."""

_Flow = tuple[int, int, Transfer, int, Route]


class RankLink:
    """The link out of one rank. `moved`: what a stream had moved in all at `at_ns`, and `level` what it moves since.

    `ending`: (what a stream will have moved when a flow ends, the flow, its transfer, die and route), as a heap.
    `num_contended` flows of this rank are on `SharedLinks`.
    """

    __slots__ = ("at_ns", "capacity", "ending", "level", "levels", "limit", "moved", "num_contended", "rank")

    def __init__(self, rank: int, capacity: int, limit: int) -> None:
        self.rank = rank
        self.capacity = capacity
        self.limit = limit
        # By number of flows.
        self.levels = [0]
        self.moved = 0
        self.at_ns = 0
        self.level = 0
        self.num_contended = 0
        self.ending: list[_Flow] = []

    def make_levels(self, num_flows: int) -> None:
        """Compute what a stream moves when there are so many of them, and up to twice as many, in bytes/s."""
        self.levels += [min(self.limit, self.capacity // n) for n in range(len(self.levels), 2 * num_flows + 1)]

    def end_of(self, target: int) -> int:
        """When a flow with this target ends, in nanoseconds, if nobody comes."""
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


class RankLinks:
    """KV transfers on one plane. `known` collects those whose `done_ns` is news; who reads it empties it.

    Live, a transfer may start as of a time beyond which other links were counted already: only its own matter.

    `is_whole`: no link carries less than it should, and nothing else flows on them; set it to False after
    `move_all_to_shared` when that changes.
    """

    def __init__(self, shared: SharedLinks, capacities: Sequence[int], num_layers: int, *, is_whole: bool) -> None:
        self.shared = shared
        self.is_whole = is_whole
        self.known: list[Transfer] = []
        self._capacities = list(capacities)
        self._num_layers = num_layers
        self._now_ns = 0
        self._next_flow = 0
        self._links: dict[int, RankLink] = {}
        # Of each route: its link, its die, and whether the link is all that binds when no other rank feeds the die.
        self._ends: dict[Route, tuple[RankLink, int, bool]] = {}
        self._contended: dict[int, tuple[RankLink, Transfer, Route]] = {}
        # How many flows end at a die's link, and from which rank they come.
        self._num_on_die = [0] * len(capacities)
        self._fed_by = [_CONTENDED] * len(capacities)

    def start(self, now_ns: int, transfer: Transfer, routes: Sequence[Route]) -> None:
        """All of it flows, or all but the last layer's share if its data is still being made; after `settle`."""
        is_made, num_layers, parts = transfer.made_ns is not None, self._num_layers, transfer.parts
        amounts: list[int] = []
        for route, num_tokens in zip(routes, transfer.message.num_tokens):
            amount = route.amount(num_tokens)
            rest = 0 if is_made else -(-amount // num_layers)
            parts.append((route, rest))
            amounts.append(amount - rest)
        self._put(now_ns, transfer, amounts)

    def finish(self, now_ns: int, transfer: Transfer) -> None:
        """All of its data is there since now; after `settle`."""
        self.roll(now_ns, transfer)
        transfer.make(now_ns)
        amounts = [rest for _, rest in transfer.parts]
        if transfer.num_moving:
            lefts = self._take_off(transfer)
            amounts = [rest + lefts.get(flow, 0) for flow, rest in enumerate(amounts, transfer.first_flow)]
        self._put(now_ns, transfer, amounts)

    def roll(self, now_ns: int, transfer: Transfer) -> None:
        """Its flows on links of ranks that end by now have ended; after `settle`."""
        ends = self._ends
        for route, _ in transfer.parts:
            link = ends[route][0]
            if link.ending and link.at_ns <= now_ns:
                self._roll(link, now_ns)

    def take_off(self, transfer: Transfer) -> None:
        """It leaves the links, so that others move faster; after `roll`."""
        self._take_off(transfer)
        links = [self._ends[route][0] for route, _ in transfer.parts]
        beside = {other.message.transfer_id: other for link in links for _, _, other, _, _ in link.ending}
        for other in beside.values():
            if other.made_ns is not None:
                self._expect(other)
        transfer.done_ns = NEVER_NS
        transfer.parts = []

    def settle(self, now_ns: int) -> None:
        """Flows on `SharedLinks` that end by now are off them; others are looked at when it matters."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        if not self._contended:
            return
        for end_ns, flow in self.shared.ended(self._now_ns):
            link, transfer, route = self._contended.pop(flow)
            link.num_contended -= 1
            self._num_on_die[route.links[-1]] -= 1
            transfer.num_moving -= 1
            transfer.end_ns = max(transfer.end_ns, end_ns)
            if not transfer.num_moving:
                transfer.leave(self.known)

    def look(self, now_ns: int, transfer: Transfer) -> None:
        """Find whether a transfer that was to be done now is, and if not when it is to be."""
        self.roll(now_ns, transfer)
        if transfer.num_moving:  # others have come meanwhile
            self._expect(transfer)

    def roll_all(self, now_ns: int) -> None:
        """Every flow that ends by now has ended."""
        for link in self._links.values():
            self._roll(link, now_ns)

    def move_all_to_shared(self) -> None:
        """Links change: what is on them moves by `SharedLinks` from now on."""
        for link in self._links.values():
            self._move_to_shared(link)

    def _put(self, now_ns: int, transfer: Transfer, amounts: Sequence[int]) -> None:
        """Each of its parts flows, with that much for each stream to move."""
        parts, ends, num_on_die, fed_by = transfer.parts, self._ends, self._num_on_die, self._fed_by
        is_whole, is_made = self.is_whole, transfer.made_ns is not None
        transfer.num_moving = len(parts)
        transfer.first_flow = flow = self._next_flow
        last: dict[RankLink, int] = {}
        for (route, _), amount in zip(parts, amounts):
            link, die, is_rank_bound = ends.get(route) or self._ends_of(route)
            ending, rank = link.ending, link.rank
            if link.at_ns < now_ns:
                if ending:
                    self._roll(link, now_ns)
                link.at_ns = now_ns
            is_alone = True
            if num_on_die[die] and fed_by[die] != rank:
                if fed_by[die] != _CONTENDED:
                    self._roll(self._links[fed_by[die]], now_ns)
                is_alone = not num_on_die[die]
            if is_rank_bound and is_alone and is_whole and not link.num_contended:
                num_on_die[die] += 1
                fed_by[die] = rank
                if not ending:  # nobody knows how much has moved, so that it need not grow for ever
                    link.moved = 0
                target = link.moved + amount
                heappush(ending, (target, flow, transfer, die, route))
                num_flows = len(ending)
                if num_flows >= len(link.levels):
                    link.make_levels(num_flows)
                link.level = link.levels[num_flows]
                if is_made and target > last.get(link, -1):
                    last[link] = target
            else:
                self._put_beside(flow, (link, transfer, route), amount)
            flow += 1
        self._next_flow = flow
        if last:
            self._expect(transfer, last)

    def _ends_of(self, route: Route) -> tuple[RankLink, int, bool]:
        rank, die = route.links[0], route.links[-1]
        link = self._links.get(rank)
        if link is None:
            link = self._links[rank] = RankLink(rank, self._capacities[rank], route.limit_bytes_per_s)
        found = self._ends[route] = link, die, len(route.links) == 2 and self._capacities[die] >= link.capacity
        return found

    def _put_beside(self, flow: int, of: tuple[RankLink, Transfer, Route], amount: int) -> None:
        """A flow that may meet those of another rank at its die: both ranks are contended."""
        link, _, route = of
        die = route.links[-1]
        if self._num_on_die[die] and self._fed_by[die] not in (_CONTENDED, link.rank):
            self._move_to_shared(self._links[self._fed_by[die]])
        self._move_to_shared(link)
        self._put_contended(flow, of, amount)

    def _move_to_shared(self, link: RankLink) -> None:
        """What is on a link moves by `SharedLinks` from now on."""
        self._roll(link, self._now_ns)
        ending, link.ending = link.ending, []
        for target, flow, transfer, _, route in ending:
            self._num_on_die[route.links[-1]] -= 1
            self._put_contended(flow, (link, transfer, route), target - link.moved)

    def _put_contended(self, flow: int, of: tuple[RankLink, Transfer, Route], amount: int) -> None:
        link, transfer, route = of
        die = route.links[-1]
        if not self._contended:
            self.shared.ended(self._now_ns)  # nothing: its links may have changed while it was not looked at
        link.num_contended += 1
        self._num_on_die[die] += 1
        self._fed_by[die] = _CONTENDED
        self._contended[flow] = of
        self.shared.put(
            self._now_ns, flow, route.lanes[0 if transfer.made_ns is not None else 1], STREAM_WEIGHT, amount
        )

    def _take_off(self, transfer: Transfer) -> dict[int, int]:
        """All leaves before its end; returns what each flow under way has not moved. Its links are rolled."""
        lefts: dict[int, int] = {}
        for flow, (route, _) in enumerate(transfer.parts, transfer.first_flow):
            link = self._ends[route][0]
            contended = self._contended.pop(flow, None)
            if contended is not None:
                link.num_contended -= 1
                self._num_on_die[route.links[-1]] -= 1
                lefts[flow] = self.shared.take_off(self._now_ns, flow)
                continue
            mine = [entry for entry in link.ending if entry[1] == flow]
            if mine:
                link.ending.remove(mine[0])
                heapify(link.ending)
                link.level = link.levels[len(link.ending)]
                self._num_on_die[route.links[-1]] -= 1
                lefts[flow] = mine[0][0] - link.moved
        transfer.num_moving = 0
        return lefts

    def _roll(self, link: RankLink, now_ns: int) -> None:
        """Take off whose last byte has left by now; the link may have been counted beyond that already."""
        at_ns = link.at_ns
        if at_ns > now_ns:
            return
        ending, moved, level, num_on_die = link.ending, link.moved, link.level, self._num_on_die
        while ending:
            target, _, transfer, die, _ = ending[0]
            left = target - moved
            end_ns = at_ns - (-left // level) if left > 0 else at_ns
            if end_ns > now_ns:
                moved += level * (now_ns - at_ns)
                at_ns = now_ns
                break
            heappop(ending)
            if ending:  # else nobody knows how much has moved
                moved += level * (end_ns - at_ns)
                level = link.levels[len(ending)]
            at_ns = end_ns
            num_on_die[die] -= 1
            transfer.num_moving -= 1
            if end_ns > transfer.end_ns:
                transfer.end_ns = end_ns
            if not transfer.num_moving:
                transfer.leave(self.known)
        link.at_ns = at_ns
        link.moved = moved
        link.level = level

    def _expect(self, transfer: Transfer, last: dict[RankLink, int] | None = None) -> None:
        """Note when it is done, as far as its flows on links of ranks tell: if others come it is later, not earlier.

        `last`: the target of the last of those flows on each link, if it is known. For an end that nobody waits for
        there is no wake.
        """
        if transfer.message.kind is _CACHE_WRITE:
            return
        if last is None:
            last = {}
            for route, _ in transfer.parts:
                link = self._ends[route][0]
                mine = [entry[0] for entry in link.ending if entry[2] is transfer] if link not in last else []
                if mine:
                    last[link] = max(mine)
        # Another flow of the same transfer may have made a link contended since.
        ends_ns = [link.end_of(target) for link, target in last.items() if link.ending]
        transfer.done_ns = max(ends_ns) + transfer.parts[0][0].latency_ns if ends_ns else NEVER_NS
        if ends_ns:
            self.known.append(transfer)

"""Transfers between instances and the cache pool: each is one flow of as many streams as its channel has."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.protocol.component import NEVER_NS
from workers.fabric.routes import Way, Ways
from workers.fabric.shared_links import SharedLinks
from workers.fabric.transfer import Transfer


class PoolLines:
    """Those on one plane. `done` collects transfers that have all of their data and have left the lines; who reads it
    empties it.

    Where an instance shares its lines with its exchange, `Standing` hears of each. Live, a transfer may start as of a
    time beyond which others were counted already: it has moved what it could have alone, and they had their share.
    """

    next_ns = NEVER_NS
    """Its ends are waited for by `links` alone."""

    def __init__(self, links: SharedLinks, ways: Ways, num_layers: int) -> None:
        self.links = links
        self.done: list[Transfer] = []
        self._ways = ways
        self._num_layers = num_layers
        self._now_ns = 0
        self._next_flow = 0
        self._flowing: dict[int, Transfer] = {}

    def start(self, now_ns: int, transfer: Transfer, ways: Sequence[Way]) -> None:
        """All of it flows, or all but the last layer's share if its data is still being made; after `settle`."""
        (way,) = ways
        amount = way.amount(sum(transfer.message.num_tokens))
        rest = 0 if transfer.made_ns is not None else -(-amount // self._num_layers)
        transfer.parts = [(way, rest)]
        moved = (self._now_ns - now_ns) * way.limit_bytes_per_s
        if moved and moved >= amount and not rest:
            transfer.end_ns = now_ns - (-amount // way.limit_bytes_per_s)
            self.done.append(transfer)
            return
        if way.standing is not None:
            way.standing.begin(self._now_ns, way.direction, self._ways.capacities)
        self._put(transfer, way, max(0, amount - rest - moved))

    def finish(self, now_ns: int, transfer: Transfer) -> None:
        """All of its data is there since now; after `settle`."""
        ((way, rest),) = transfer.parts
        transfer.made_ns = now_ns
        transfer.hidden_ns = (now_ns if transfer.num_moving else transfer.end_ns) - transfer.started_ns
        left = self._take_off(transfer)
        if way.standing is not None:
            way.standing.begin(self._now_ns, way.direction, self._ways.capacities)
        self._put(transfer, way, left + rest)

    def take_off(self, transfer: Transfer) -> None:
        """It leaves the lines, so that others move faster; after `settle`."""
        self._take_off(transfer)

    def roll(self, now_ns: int, transfer: Transfer) -> None:
        """Nothing: `settle` has found its end."""

    def settle(self, now_ns: int) -> None:
        """Whose last byte has left by now is off the lines."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        for end_ns, flow in self.links.ended(self._now_ns):
            transfer = self._flowing.pop(flow)
            self._leave(end_ns, transfer)
            transfer.end_ns = end_ns
            if transfer.made_ns is not None:
                self.done.append(transfer)

    def look(self, now_ns: int) -> None:
        """Nothing: as with `roll`."""

    def _put(self, transfer: Transfer, way: Way, amount: int) -> None:
        flow = transfer.first_flow = self._next_flow
        self._next_flow = flow + 1
        self._flowing[flow] = transfer
        transfer.num_moving = 1
        self.links.put(self._now_ns, flow, way.lanes[0 if transfer.made_ns is not None else 1], way.weight, amount)

    def _take_off(self, transfer: Transfer) -> int:
        """Answers what its streams have not moved."""
        if self._flowing.pop(transfer.first_flow, None) is None:
            return 0
        self._leave(self._now_ns, transfer)
        return self.links.take_off(self._now_ns, transfer.first_flow)

    def _leave(self, now_ns: int, transfer: Transfer) -> None:
        transfer.num_moving = 0
        way = transfer.parts[0][0]
        if way.standing is not None:
            way.standing.end(now_ns, way.direction)

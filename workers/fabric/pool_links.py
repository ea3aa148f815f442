"""Transfers between instances and the cache pool: each is one flow of as many streams as its path profile has."""

from __future__ import annotations

from collections.abc import Sequence

from workers.fabric.routes import Route, Routes
from workers.fabric.shared_links import SharedLinks
from workers.fabric.transfer import Transfer


class PoolLinks:
    """Pool transfers on one plane. `known` collects those whose `done_ns` is news; who reads it empties it.

    Where an instance shares its links with its expert all-to-all, `InstanceExpertTraffic` hears of each. Live, a
    transfer may start as of a time before others were counted up to: it has moved what it could have alone, and they
    had their share.
    """

    def __init__(self, shared: SharedLinks, routes: Routes, num_layers: int) -> None:
        self.shared = shared
        self.known: list[Transfer] = []
        self._routes = routes
        self._num_layers = num_layers
        self._now_ns = 0
        self._next_flow = 0
        self._flowing: dict[int, Transfer] = {}

    def start(self, now_ns: int, transfer: Transfer, routes: Sequence[Route]) -> None:
        """All of it flows, or all but the last layer's share if its data is still being made; after `settle`."""
        (route,) = routes
        amount = route.amount(sum(transfer.message.num_tokens))
        rest = 0 if transfer.made_ns is not None else -(-amount // self._num_layers)
        transfer.parts = [(route, rest)]
        moved = (self._now_ns - now_ns) * route.limit_bytes_per_s
        if moved and moved >= amount and not rest:
            transfer.end_ns = now_ns - (-amount // route.limit_bytes_per_s)
            transfer.leave(self.known)
            return
        if route.expert_traffic is not None:
            route.expert_traffic.begin(self._now_ns, route.direction, self._routes.capacities)
        self._put(transfer, route, max(0, amount - rest - moved))

    def finish(self, now_ns: int, transfer: Transfer) -> None:
        """All of its data is there since now; after `settle`."""
        ((route, rest),) = transfer.parts
        transfer.make(now_ns)
        left = self._take_off(transfer)
        if route.expert_traffic is not None:
            route.expert_traffic.begin(self._now_ns, route.direction, self._routes.capacities)
        self._put(transfer, route, left + rest)

    def take_off(self, transfer: Transfer) -> None:
        """It leaves the links, so that others move faster; after `settle`."""
        self._take_off(transfer)

    def roll(self, now_ns: int, transfer: Transfer) -> None:
        """Nothing: `settle` has found its end."""

    def settle(self, now_ns: int) -> None:
        """Take off whose last byte has left by now."""
        if now_ns > self._now_ns:
            self._now_ns = now_ns
        for end_ns, flow in self.shared.ended(self._now_ns):
            transfer = self._flowing.pop(flow)
            self._leave(end_ns, transfer)
            transfer.end_ns = end_ns
            transfer.leave(self.known)

    def look(self, now_ns: int, transfer: Transfer) -> None:
        """Nothing: what is known of its end is no estimate."""

    def _put(self, transfer: Transfer, route: Route, amount: int) -> None:
        flow = transfer.first_flow = self._next_flow
        self._next_flow = flow + 1
        self._flowing[flow] = transfer
        transfer.num_moving = 1
        self.shared.put(self._now_ns, flow, route.lanes[0 if transfer.made_ns is not None else 1], route.weight, amount)

    def _take_off(self, transfer: Transfer) -> int:
        """Returns what each of its streams has not moved, in nanobytes."""
        if self._flowing.pop(transfer.first_flow, None) is None:
            return 0
        self._leave(self._now_ns, transfer)
        return self.shared.take_off(self._now_ns, transfer.first_flow)

    def _leave(self, now_ns: int, transfer: Transfer) -> None:
        transfer.num_moving = 0
        route = transfer.parts[0][0]
        if route.expert_traffic is not None:
            route.expert_traffic.end(now_ns, route.direction)

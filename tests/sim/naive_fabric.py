"""The fabric of the naive simulation: every flow on its own, and all shares found anew whenever one comes or goes.

Written from "Fabric" in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.case import Case
from tests.sim.naive_request import Request
from tests.sim.naive_world import Actor, World

Then = Callable[[list[Request]], None] | None
"""Who waits for a flow, if anybody does."""


class Flow:
    """Bytes on their way. `left` is in nanobytes of each stream, `rest` what the source has not made."""

    def __init__(self, kind: str, prefill: int, decode: int, tokens: list[int], requests: list[Request]) -> None:
        self.kind = kind
        self.prefill = prefill
        self.decode = decode
        self.tokens = tokens
        self.requests = requests
        self.then: Then = None
        self.is_made = True
        self.links: tuple[str, ...] = ()
        self.limit = 0
        self.weight = 0
        self.left = 0
        self.rest = 0
        self.level = 0
        self.left_links = False
        self.done_ns: int | None = None
        self.is_told = False
        self.is_cancelled = False


class Fabric(Actor):
    """Nobody waits for a write to the cache, so none keeps the run from ending."""

    priority = 1

    def __init__(self, world: World, case: Case) -> None:
        super().__init__(world)
        self.case = case
        self.flows: list[Flow] = []
        self.at_ns = 0

    @property
    def num_bytes(self) -> int:
        """All that was to arrive and was not given up."""
        return sum(sum(flow.tokens) for flow in self.flows if not flow.is_cancelled) * self.case.bytes_per_token

    def start(self, flow: Flow) -> None:
        """A flow begins."""
        self._move_on()
        case = self.case
        if flow.kind == "hand-over":
            flow.links = (f"prefill {flow.prefill}", f"decode {flow.decode}")
            flow.limit = case.stream_bytes_per_s
            flow.weight = _up(1024 * sum(flow.tokens), max(flow.tokens))
            flow.left = max(flow.tokens) * case.bytes_per_token * 10**9
        else:
            ways = {"read": ("pool out", "in of {}"), "write": ("out of {}", "pool in")}
            flow.links = tuple(way.format(flow.prefill) for way in ways[flow.kind])
            flow.limit = case.cache_line_bytes_per_s
            flow.weight = 1024 * case.num_streams
            token = _up(case.bytes_per_token * 10**9 * flow.limit, case.stream_bytes_per_s)
            flow.left = _up(sum(flow.tokens) * token, case.num_streams)
        if not flow.is_made:
            flow.rest = _up(flow.left, case.num_layers)
            flow.left -= flow.rest
        self.flows.append(flow)
        self._share()

    def finish(self, flow: Flow) -> None:
        """All of it is made."""
        self._move_on()
        flow.is_made = True
        flow.left += flow.rest
        flow.left_links = False
        self._share()

    def cancel(self, flow: Flow) -> None:
        """Nobody wants it any more."""
        self._move_on()
        flow.left_links = flow.is_cancelled = True
        self._share()

    def _capacity(self, link: str) -> int:
        if link.startswith("pool"):
            return self.case.pool_bytes_per_s
        return self.case.decode_bytes_per_s if link.startswith("decode") else self.case.prefill_bytes_per_s

    def _share(self) -> None:
        """Who has what from now on: at each turn, all stop at the least level at which anybody must."""
        rising = [flow for flow in self.flows if not flow.left_links]
        moving = list(rising)
        for flow in moving:
            flow.level = 0
        while rising:
            bears: dict[str, int] = {}
            for link in {link for flow in rising for link in flow.links}:
                taken = sum(f.level * f.weight for f in moving if link in f.links and f not in rising)
                weight = sum(f.weight for f in rising if link in f.links)
                bears[link] = (self._capacity(link) * 1024 - taken) // weight
            level = min([*bears.values(), *(flow.limit for flow in rising)])
            stopping = [f for f in rising if f.limit == level]
            stopping = stopping or [f for f in rising if any(bears[link] == level for link in f.links)]
            for flow in stopping:
                flow.level = level
            rising = [flow for flow in rising if flow not in stopping]
        self._await_next()

    def _end_ns(self, flow: Flow) -> int:
        return self.at_ns + max(0, _up(flow.left, flow.level))

    def _move_on(self) -> None:
        """To now, stopping at each end on the way."""
        while True:
            ends = [self._end_ns(flow) for flow in self.flows if not flow.left_links]
            next_ns = min([*ends, self.world.now_ns])
            for flow in self.flows:
                if not flow.left_links:
                    flow.left -= flow.level * (next_ns - self.at_ns)
            self.at_ns = next_ns
            ended = [flow for flow in self.flows if not flow.left_links and flow.left <= 0]
            if not ended:
                return
            for flow in ended:
                flow.left_links = True
                # Nothing is left over for later when a nanosecond was more than it needed.
                flow.left = 0
                if flow.is_made:
                    flow.done_ns = next_ns + self.case.latency_ns + 100 * flow.prefill
            self._share()

    def _await_next(self) -> None:
        waited = [
            flow for flow in self.flows if flow.then and flow.is_made and not flow.is_told and not flow.is_cancelled
        ]
        times = [flow.done_ns for flow in waited if flow.done_ns is not None]
        if len(times) < len(waited):
            times += [self._end_ns(flow) for flow in self.flows if not flow.left_links]
        self.due_ns = min(times, default=None)

    def fall_due(self) -> None:
        """What has arrived by now, the earlier started first."""
        self._move_on()
        for flow in self.flows:
            if flow.then and not flow.is_told and flow.done_ns == self.world.now_ns:
                flow.is_told = True
                self.world.say(flow.then, flow.requests)
        self._await_next()


def _up(amount: int, by: int) -> int:
    """Division, rounded up."""
    return -(-amount // by)

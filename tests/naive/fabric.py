"""The fabric of the naive simulation: every stream on its own, and all shares found anew whenever one comes or goes.

Written from "Fabric" in docs/engine-rules.md.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.naive.case import Case, die_rate, rank_rate
from tests.naive.request import Request
from tests.naive.world import Actor, World

Then = Callable[[list[Request]], None] | None
"""Who waits for a flow, if anybody does."""


class Stream:
    """What takes one route: `weight` / 1024 streams. `left` is in nanobytes of each, `rest` what is not made yet."""

    def __init__(self, links: tuple[str, ...], limit: int, weight: int, left: int) -> None:
        self.links = links
        self.limit = limit
        self.weight = weight
        self.left = left
        self.rest = 0
        self.level = 0
        self.has_left_links = False


class Flow:
    """Bytes on their way, in one or more streams. `dies` says where each request of a KV transfer goes."""

    def __init__(self, kind: str, prefill: int, decode: int, tokens: list[int], requests: list[Request]) -> None:
        self.kind = kind
        self.prefill = prefill
        self.decode = decode
        self.tokens = tokens
        self.requests = requests
        self.dies: list[int] = []
        self.then: Then = None
        self.is_made = True
        self.streams: list[Stream] = []
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
        flow.streams = self._kv_transfer_streams(flow) if flow.kind == "KV transfer" else [self._cache_stream(flow)]
        if not flow.is_made:
            for stream in flow.streams:
                stream.rest = _up(stream.left, self.case.num_layers)
                stream.left -= stream.rest
        self.flows.append(flow)
        self._share()

    def _kv_transfer_streams(self, flow: Flow) -> list[Stream]:
        """Each request from the rank that its die reads, to that die."""
        streams: list[Stream] = []
        for die, tokens in zip(flow.dies, flow.tokens, strict=True):
            links = [f"rank {flow.prefill} {self._rank_of(die)}", f"die {flow.decode} {die}"]
            left = tokens * self.case.bytes_per_token * 10**9
            streams.append(Stream(tuple(links), self.case.stream_bytes_per_s, 1024, left))
        return streams

    def _rank_of(self, die: int) -> int:
        """The last rank that has not yet had its share of dies when this one's turn comes."""
        rank = 0
        while (rank + 1) * self.case.num_dies <= die * self.case.num_ranks:
            rank += 1
        return rank

    def _cache_stream(self, flow: Flow) -> Stream:
        case = self.case
        routes = {
            "read": ("pool out", "in of {}"),
            "write": ("out of {}", "pool in"),
            "ssd read": ("ssd out",),
            "ssd write": ("ssd in",),
            "answer to pool": ("answer out {1}", "pool in"),
            "answer to prefill": ("answer out {1}", "answer in {0}"),
        }
        num_streams = case.cache_servers if flow.kind.startswith("ssd") else case.num_streams
        if flow.kind.startswith("answer"):
            num_streams = 1
        limit = case.cache_line_bytes_per_s
        token = _up(case.bytes_per_token * 10**9 * limit, case.stream_bytes_per_s)
        left = _up(sum(flow.tokens) * token, num_streams)
        return Stream(
            tuple(link.format(flow.prefill, flow.decode) for link in routes[flow.kind]), limit, 1024 * num_streams, left
        )

    def finish(self, flow: Flow) -> None:
        """All of it is made."""
        self._move_on()
        flow.is_made = True
        for stream in flow.streams:
            stream.left += stream.rest
            stream.has_left_links = False
        self._share()

    def cancel(self, flow: Flow) -> None:
        """Nobody wants it any more; what has left its links arrives."""
        self._move_on()
        if flow.done_ns is not None:
            self._await_next()
            return
        flow.is_cancelled = True
        for stream in flow.streams:
            stream.has_left_links = True
        self._share()

    def _capacity(self, link: str) -> int:
        kind, *where = link.split()
        if kind == "pool":
            return self.case.pool_bytes_per_s
        if kind == "ssd":
            return self.case.ssd_bytes_per_s
        if kind in ("in", "out", "answer"):
            return self.case.prefill_bytes_per_s
        return {"rank": rank_rate, "die": die_rate}[kind](self.case, int(where[0]), int(where[1]))

    def _moving(self) -> list[Stream]:
        return [stream for flow in self.flows for stream in flow.streams if not stream.has_left_links]

    def _share(self) -> None:
        """Who has what from now on: at each turn, all stop at the least level at which anybody must."""
        moving = self._moving()
        rising = list(moving)
        for stream in moving:
            stream.level = 0
        while rising:
            bears: dict[str, int] = {}
            for link in {link for stream in rising for link in stream.links}:
                taken = sum(s.level * s.weight for s in moving if link in s.links and s not in rising)
                weight = sum(s.weight for s in rising if link in s.links)
                bears[link] = (self._capacity(link) * 1024 - taken) // weight
            level = min([*bears.values(), *(stream.limit for stream in rising)])
            stopping = [s for s in rising if s.limit == level]
            stopping = stopping or [s for s in rising if any(bears[link] == level for link in s.links)]
            for stream in stopping:
                stream.level = level
            rising = [stream for stream in rising if stream not in stopping]
        self._await_next()

    def _end_ns(self, stream: Stream) -> int:
        return self.at_ns + max(0, _up(stream.left, stream.level))

    def _move_on(self) -> None:
        """To now, stopping at each end on the way."""
        while True:
            moving = self._moving()
            next_ns = min([*(self._end_ns(stream) for stream in moving), self.world.now_ns])
            for stream in moving:
                stream.left -= stream.level * (next_ns - self.at_ns)
            self.at_ns = next_ns
            ended = [stream for stream in moving if stream.left <= 0]
            if not ended:
                return
            for stream in ended:
                stream.has_left_links = True
                # Nothing is left over for later when a nanosecond was more than it needed.
                stream.left = 0
            for flow in self.flows:
                if flow.is_made and any(stream in ended for stream in flow.streams):
                    self._end_if_last(flow)
            self._share()

    def _end_if_last(self, flow: Flow) -> None:
        if all(stream.has_left_links for stream in flow.streams):
            further_ns = 100 * flow.prefill if flow.kind in ("read", "write") else 0
            flow.done_ns = self.at_ns + self.case.latency_ns + further_ns

    def _await_next(self) -> None:
        waited = [
            flow for flow in self.flows if flow.then and flow.is_made and not flow.is_told and not flow.is_cancelled
        ]
        times = [flow.done_ns for flow in waited if flow.done_ns is not None]
        if len(times) < len(waited):
            times += [self._end_ns(stream) for stream in self._moving()]
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

"""The fabric: flows share the links between instances, max-min fair, from the time at which their data is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority
from scheduler.protocol.messages import (
    CancelTransfer,
    FinishTransfer,
    Message,
    Plane,
    RunEnded,
    StartTransfer,
    TransferDone,
    TransferKind,
)
from sim_hw.network.max_min import Path
from workers.shared_links import STREAM_WEIGHT, SharedLinks

NANOBYTES: Final = 1_000_000_000
"""Rates are whole bytes a second and times whole nanoseconds, so what has flowed is counted in whole nanobytes."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of transfer between two instances over one plane, as streams of one die's line each.

    `links` are indices of `FabricConfig.capacities_bytes_per_s`. A stream takes at most `line_bytes_per_s` of each of
    them, and moves `data_bytes_per_s` of data when it does: the rest is what that kind of access was measured to lose.
    `num_streams` share the data of a transfer equally; None: each request's data is a stream of its own.
    """

    links: tuple[int, ...]
    line_bytes_per_s: int
    data_bytes_per_s: int
    num_streams: int | None
    latency_ns: int


@dataclass(frozen=True, slots=True)
class FabricConfig:
    """`channels[kind, plane, source, destination]`; `num_layers` lets KV flow as the layers are made: all but the last
    layer's share need not wait for the end of the pass."""

    capacities_bytes_per_s: Sequence[int]
    channels: dict[tuple[TransferKind, Plane, str, str], Channel]
    kv_bytes_per_token: int
    num_layers: int


@dataclass(frozen=True, slots=True)
class _Route:
    """What a transfer of one channel does. `lanes`: of what somebody waits for, and of what flows hidden.

    `token`: nanobytes of a line that a token takes.
    """

    links: SharedLinks
    lanes: tuple[int, int]
    num_streams: int | None
    token: int
    latency_ns: int


@dataclass(slots=True)
class _Flow:
    """A transfer under way. `made_ns`: since when all of its data is there, None as long as it is not. `rest`: what
    each of its streams cannot move before that."""

    message: Final[StartTransfer]
    route: Final[_Route]
    weight: Final[int]
    rest: Final[int]
    made_ns: int | None


class Fabric:
    """A `Component` that turns `StartTransfer` into `TransferDone` at the time the last byte arrives.

    Nobody waits for writes to the cache, nor yet for what flows while a pass still runs: as long as no link binds they
    wake nobody. The ends of writes are reported with the next end that somebody waits for, or when the run ends, each
    with the time at which it fell due.
    """

    address = "fabric"
    priority = Priority.FABRIC

    def __init__(self, config: FabricConfig, reports_to: str = "core") -> None:
        self.deadline_ns = NEVER_NS
        self._bytes_per_token = config.kv_bytes_per_token
        self._num_layers = config.num_layers
        self._reports_to = reports_to
        self._routes: dict[tuple[int, int, str, str], _Route] = {}
        self._flows: dict[int, _Flow] = {}
        self._waited: list[tuple[int, int, TransferDone]] = []
        self._unwaited: list[tuple[int, int, TransferDone]] = []
        # Planes share no link.
        self._planes: list[SharedLinks] = []
        for plane in sorted({key[1] for key in config.channels}):
            self._add_plane(config, {key: channel for key, channel in config.channels.items() if key[1] == plane})

    def _add_plane(self, config: FabricConfig, channels: dict[tuple[TransferKind, Plane, str, str], Channel]) -> None:
        lanes: list[Path] = []
        awaited: list[bool] = []
        ends: list[tuple[int, int]] = []
        for (kind, *_), channel in channels.items():
            num_lanes = 2 if kind == TransferKind.HAND_OVER else 1
            ends.append((len(lanes), len(lanes) + num_lanes - 1))
            lanes += [Path(channel.links, channel.line_bytes_per_s)] * num_lanes
            awaited += [kind != TransferKind.CACHE_WRITE, False][:num_lanes]
        grace_ns = min(channel.latency_ns for channel in channels.values())
        links = SharedLinks(config.capacities_bytes_per_s, lanes, awaited, grace_ns)
        self._planes.append(links)
        for (key, channel), pair in zip(channels.items(), ends):
            line, data = channel.line_bytes_per_s, channel.data_bytes_per_s
            token = -(-config.kv_bytes_per_token * NANOBYTES * line // data)
            self._routes[key] = _Route(links, pair, channel.num_streams, token, channel.latency_ns)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A transfer begins, has all its data, or is given up."""
        if isinstance(message, StartTransfer):
            links = self._start(now_ns, message)
        elif isinstance(message, FinishTransfer):
            links = self._finish(now_ns, message.transfer_id)
        elif isinstance(message, CancelTransfer) and message.transfer_id in self._flows:
            links = self._cancel(now_ns, message.transfer_id)
        elif isinstance(message, RunEnded):
            return self._end_run(now_ns, message)
        else:  # given up, but its last byte had left
            return NOTHING
        links.look_again()
        self._await_next()
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Report every transfer that is done by now."""
        for links in self._planes:
            if links.again_ns <= now_ns:
                links.share()
                self._settle(links, now_ns)
                links.look_again()
        outputs = self._ended(self._waited, now_ns)
        if outputs and self._unwaited:
            outputs += self._ended(self._unwaited, now_ns)
        self._await_next()
        return tuple(outputs)

    def _end_run(self, now_ns: int, message: RunEnded) -> Outputs:
        # A run that was not cut short has seen all it waited for; writes under way will end unhindered.
        horizon_ns = now_ns if message.interrupted else NEVER_NS
        for links in self._planes:
            self._settle(links, horizon_ns)
        self.deadline_ns = NEVER_NS
        return tuple(self._ended(self._waited, horizon_ns) + self._ended(self._unwaited, horizon_ns))

    def _start(self, now_ns: int, message: StartTransfer) -> SharedLinks:
        route = self._routes[message.kind, message.plane, message.source, message.destination]
        self._settle(route.links, now_ns)
        num_tokens = sum(message.num_tokens)
        if route.num_streams is None:
            # All of a transfer ends together: its longest request is a stream, each other as much of one as it needs.
            longest = max(message.num_tokens)
            weight, amount = -(-num_tokens * STREAM_WEIGHT // longest), longest * route.token
        else:
            weight, amount = route.num_streams * STREAM_WEIGHT, -(-num_tokens * route.token // route.num_streams)
        rest = 0 if message.is_made else -(-amount // self._num_layers)
        made_ns = now_ns if message.is_made else None
        self._flows[message.transfer_id] = _Flow(message, route, weight, rest, made_ns)
        lane = route.lanes[0 if message.is_made else 1]
        route.links.put(now_ns, message.transfer_id, lane, weight, amount - rest)
        return route.links

    def _finish(self, now_ns: int, transfer_id: int) -> SharedLinks:
        flow = self._flows[transfer_id]
        links = flow.route.links
        self._settle(links, now_ns)
        left = links.take_off(now_ns, transfer_id) + flow.rest
        flow.made_ns = now_ns
        links.put(now_ns, transfer_id, flow.route.lanes[0], flow.weight, left)
        return links

    def _cancel(self, now_ns: int, transfer_id: int) -> SharedLinks:
        links = self._flows[transfer_id].route.links
        self._settle(links, now_ns)
        links.take_off(now_ns, transfer_id)
        self._flows.pop(transfer_id, None)
        return links

    def _settle(self, links: SharedLinks, now_ns: int) -> None:
        """Whose last byte has left is off the links, and arrives when its latency has passed."""
        for end_ns, transfer_id in links.ended(now_ns):
            flow = self._flows[transfer_id]
            if flow.made_ns is None:
                continue
            message = flow.message
            del self._flows[transfer_id]
            done_ns = end_ns + flow.route.latency_ns
            num_bytes = sum(message.num_tokens) * self._bytes_per_token
            duration_ns = done_ns - flow.made_ns
            done = TransferDone(transfer_id, message.kind, message.plane, done_ns, num_bytes, duration_ns)
            reports = self._unwaited if message.kind == TransferKind.CACHE_WRITE else self._waited
            heappush(reports, (done_ns, transfer_id, done))

    def _await_next(self) -> None:
        deadline_ns = self._waited[0][0] if self._waited else NEVER_NS
        for links in self._planes:
            if links.again_ns < deadline_ns:
                deadline_ns = links.again_ns
        self.deadline_ns = deadline_ns

    def _ended(self, transfers: list[tuple[int, int, TransferDone]], now_ns: int) -> list[tuple[str, Message]]:
        outputs: list[tuple[str, Message]] = []
        while transfers and transfers[0][0] <= now_ns:
            outputs.append((self._reports_to, heappop(transfers)[2]))
        return outputs

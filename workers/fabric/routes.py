"""The routes through the fabric: which links there are, what they carry, and which of them a transfer takes.

A link is what flows share: a `LinkGroup`, the physical links of some ends taken together in one direction, such as all
dies of an instance. A `PathProfile` says how one kind of transfer moves between two ends, a `Route` is that profile
made ready for the link models, and `Routes` finds the routes of each transfer while parts fail and are repaired.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scheduler.protocol.fabric_messages import UNAWAITED, Plane, TransferKind
from scheduler.protocol.messages import StartTransfer
from sim_hw.network.lines import LineEnd
from workers.fabric.background import Background, BackgroundFlow
from workers.fabric.expert_traffic import ExpertLinks, ExpertTraffic, InstanceExpertTraffic
from workers.fabric.shared_links import STREAM_WEIGHT, SharedLinks

NANOBYTES: Final = 1_000_000_000
"""Rates are whole bytes a second and times whole nanoseconds, so what has flowed is counted in whole nanobytes."""


class LinkRates(Protocol):
    """The rates of physical links; `sim_hw.network.lines.Lines` knows them."""

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        """Rates of all ends of that kind, by their number, with these parts failed; bytes/s in one direction.

        Raises LookupError where there are no such ends or no such part.
        """
        ...


@dataclass(frozen=True, slots=True)
class LinkGroup:
    """The physical links of some ends of one kind, or a fixed `share` of them, in one direction: a link of the fabric.

    Those of a cache `pool` belong to its servers, so many in turn to each.
    """

    end: LineEnd
    numbers: range
    share: float = 1.0
    pool: str = ""
    per_server: int = 0

    def parts(self, down: Mapping[str, Collection[int]]) -> list[range]:
        """The numbers, without those of servers that are down."""
        parts: list[range] = []
        start, size = self.numbers.start, self.per_server
        for server in sorted(down.get(self.pool, ())):
            parts.append(range(start, self.numbers.start + server * size))
            start = parts[-1].stop + size
        return [*parts, range(start, self.numbers.stop)]


@dataclass(frozen=True, slots=True)
class PathProfile:
    """One kind of transfer between an instance and the cache pool over one plane, as streams of one die each.

    `links` are indices of `FabricConfig.links`. A stream takes at most the line rate of each of them, and moves
    `data_bytes_per_s` of data when it does: the rest is what that kind of access was measured to lose. `num_streams`
    share the data of a transfer equally.
    """

    links: tuple[int, ...]
    line_rate_bytes_per_s: int
    data_bytes_per_s: int
    num_streams: int
    latency_ns: int


@dataclass(frozen=True, slots=True)
class KvTransferRoutes:
    """KV transfer: each request's KV flows from one rank of a prefill instance to the die that will decode it.

    `sources` and `destinations` are the links of an instance's dies, in their order; a stream takes at most
    `line_rate_bytes_per_s` of them. Between supernodes it also takes the link out of the one and the link into the
    other, `crossings[supernode]`, and `crossing_latency_ns` more; `supernodes` says where an instance lies.
    """

    sources: Mapping[str, range]
    destinations: Mapping[str, range]
    line_rate_bytes_per_s: int
    latency_ns: int
    supernodes: Mapping[str, int] = field(default_factory=dict[str, int])
    crossings: Sequence[tuple[int, int]] = ()
    crossing_latency_ns: int = 0
    supernode_rates_bytes_per_s: Sequence[int] = ()
    """Where supernodes differ: what a stream takes at most in each; between two, the lesser."""

    def stream_bytes_per_s(self, source: str, destination: str) -> int:
        """What a stream takes at most between two instances."""
        rates = self.supernode_rates_bytes_per_s
        if not rates:
            return self.line_rate_bytes_per_s
        return min(rates[self.supernodes[source]], rates[self.supernodes[destination]])

    def between(self, source: str, destination: str) -> tuple[int, ...]:
        """Indices of the links between the supernodes of two instances, none within one."""
        if not self.crossings or self.supernodes[source] == self.supernodes[destination]:
            return ()
        return self.crossings[self.supernodes[source]][0], self.crossings[self.supernodes[destination]][1]


_PLANE_ENDS: Final = {Plane.UB: LineEnd.UB_DIE, Plane.RDMA: LineEnd.RDMA_DIE, Plane.VPC: LineEnd.VPC_NODE}
"""Whose links together are the capacity of a plane."""


@dataclass(frozen=True, slots=True)
class FabricConfig:
    """What the fabric is made of: `links` by index, and how transfers take them.

    `profiles[kind, plane, source, destination]` of all but KV transfers; `num_layers` lets KV flow as the layers are
    made: all but the last layer's share need not wait for the end of the pass. `expert_links`: of the instances that
    tell their expert traffic.
    """

    rates: LinkRates
    links: Sequence[LinkGroup]
    kv_transfer: KvTransferRoutes
    profiles: Mapping[tuple[TransferKind, Plane, str, str], PathProfile]
    kv_bytes_per_token: int
    num_layers: int
    expert_links: Mapping[str, ExpertLinks] = field(default_factory=dict[str, ExpertLinks])
    background: Sequence[BackgroundFlow] = ()

    def plane_bytes_per_s(self, plane: Plane, failed: Collection[str] = ()) -> int:
        """What all links of a plane carry together with these parts failed; 0 where there are none."""
        try:
            return round(self.rates.bytes_per_s(_PLANE_ENDS[plane], failed).sum())
        except LookupError:
            return 0

    def capacities_bytes_per_s(
        self, failed: Collection[str] = (), down: Mapping[str, Collection[int]] = MappingProxyType({})
    ) -> list[int]:
        """What each link carries with these parts failed and these cache servers down, by pool. Raises LookupError for
        a part that is not there."""
        by_end = {end: self.rates.bytes_per_s(end, failed) for end in {group.end for group in self.links}}
        totals = {end: np.concatenate([[0.0], np.cumsum(rates)]) for end, rates in by_end.items()}
        return [
            round(
                sum(totals[group.end][part.stop] - totals[group.end][part.start] for part in group.parts(down))
                * group.share
            )
            for group in self.links
        ]


def source_rank(die: int, num_dies: int, num_ranks: int) -> int:
    """From which rank of a prefill instance a decode die reads: neighbours share one, and all are read equally.

    Every rank holds a complete copy of the KV, and the mapping spreads the readers: ratio = prefill TP / decode TP,
    group size = decode DP / ratio, rank = decode DP rank / group size (arXiv 2506.12708 v3, section 4.3).
    """
    return die * num_ranks // num_dies


class Route:
    """The links that data takes between two ends, and what of them it takes.

    `lanes` of its plane: of what somebody waits for, and of what flows hidden. `is_cut`: one of its links carries
    nothing. `weight`: of all its streams. `expert_traffic`: that of the instance on whose UB links it lies, if they
    share them, and in which `direction` of these: into its dies (0) or out of them (1).
    """

    __slots__ = (
        "_lanes",
        "_make_lanes",
        "_num_streams",
        "_token",
        "direction",
        "expert_traffic",
        "is_cut",
        "latency_ns",
        "limit_bytes_per_s",
        "links",
        "weight",
    )

    def __init__(
        self, profile: PathProfile, make_lanes: Callable[[], tuple[int, int]], kv_bytes_per_token: int
    ) -> None:
        self.links = profile.links
        self.limit_bytes_per_s = profile.line_rate_bytes_per_s
        self._make_lanes = make_lanes
        self._lanes: tuple[int, int] | None = None
        self.latency_ns = profile.latency_ns
        self.is_cut = False
        self.expert_traffic: InstanceExpertTraffic | None = None
        self.direction = 0
        rate, data = profile.line_rate_bytes_per_s, profile.data_bytes_per_s
        self._token = -(-kv_bytes_per_token * NANOBYTES * rate // data)
        self._num_streams = profile.num_streams
        self.weight = profile.num_streams * STREAM_WEIGHT

    @property
    def lanes(self) -> tuple[int, int]:
        """Made when they are first needed: KV transfers seldom need any."""
        if self._lanes is None:
            self._lanes = self._make_lanes()
        return self._lanes

    def amount(self, num_tokens: int) -> int:
        """What each of its streams has to move for the KV of so many tokens, in nanobytes of link."""
        return -(-num_tokens * self._token // self._num_streams)


class Routes:
    """Finds the routes of each transfer, and knows what failed parts leave of them."""

    def __init__(self, config: FabricConfig) -> None:
        self._config = config
        self.capacities: Sequence[int] = config.capacities_bytes_per_s()
        """What each link carries now, bytes/s, what expert traffic takes of it included."""
        self._down: dict[str, frozenset[int]] = {}
        kv_transfer = config.kv_transfer
        latencies = {Plane.RDMA: [kv_transfer.latency_ns]}
        for (_, plane, _, _), profile in config.profiles.items():
            latencies.setdefault(plane, []).append(profile.latency_ns)
        for plane in (*(flow.plane for flow in config.background), *([Plane.UB] if config.expert_links else [])):
            latencies.setdefault(plane, [0])
        # Planes share no link.
        self.planes: Final = {plane: SharedLinks(self.capacities, min(latencies[plane])) for plane in sorted(latencies)}
        self._by_ends: dict[tuple[TransferKind, Plane, str, str], list[Route]] = {
            key: [self._route(key[1], profile, is_awaited=key[0] not in UNAWAITED)]
            for key, profile in config.profiles.items()
        }
        self.expert_traffic: Final = self._make_expert_traffic()
        self.background: Final = Background(config.background, self.planes, self.expert_traffic.all)
        # Of KV transfers, by ends: to each die that was asked for.
        self._by_die: dict[tuple[str, str], dict[int, Route]] = {}
        self._by_links: dict[tuple[int, ...], Route] = {}

    def _make_expert_traffic(self) -> ExpertTraffic:
        """Every route of the pool over the links of an instance with expert traffic knows of it."""
        over: dict[int, list[Route]] = {}
        for routes in self._by_ends.values():
            for route in routes:
                for link in route.links:
                    over.setdefault(link, []).append(route)
        lanes = {link: [route.lanes[0] for route in routes] for link, routes in over.items()}
        loads = ExpertTraffic(self._config.expert_links, self.planes.get(Plane.UB), lanes)
        for traffic in loads.all:
            for direction, link in enumerate((traffic.ends.into, traffic.ends.out)):
                for route in over.get(link, ()):
                    route.expert_traffic, route.direction = traffic, direction
        return loads

    def of(self, message: StartTransfer) -> list[Route]:
        """One route for each request of a KV transfer, one for all data of any other transfer."""
        if not message.dies:
            return self._by_ends[message.kind, message.plane, message.source, message.destination]
        ends = message.source, message.destination
        by_die = self._by_die.get(ends)
        if by_die is None:
            by_die = self._by_die[ends] = {}
        routes: list[Route] = []
        for die in message.dies:
            route = by_die.get(die)
            if route is None:
                route = by_die[die] = self._route_to_die(*ends, die)
            routes.append(route)
        return routes

    def set_failed(self, now_ns: int, failed: Collection[str]) -> None:
        """These parts are broken now, and no others."""
        capacities = self.capacities = self._config.capacities_bytes_per_s(failed, self._down)
        for links in self.planes.values():
            links.set_capacities(now_ns, capacities)
        # Other ranks may have to serve now, or need not any more.
        self._by_die.clear()
        for route in (*(route for routes in self._by_ends.values() for route in routes), *self._by_links.values()):
            route.is_cut = not all(capacities[link] for link in route.links)

    def set_pool_servers(self, pool: str, up: Collection[int]) -> None:
        """Only these servers of a pool are up; `set_failed` must follow."""
        sizes = {len(b.numbers) // b.per_server for b in self._config.links if b.pool == pool and b.per_server}
        self._down[pool] = frozenset(range(max(sizes, default=0))).difference(up)

    @property
    def has_all_servers(self) -> bool:
        """Whether all servers of all pools are up."""
        return not any(self._down.values())

    def cut_instances(self) -> list[str]:
        """Instances that reach nobody on the plane of KV transfer."""
        return [address for address, links in self._ends().items() if not any(self.capacities[i] for i in links)]

    def partly_cut(self) -> dict[str, list[int]]:
        """Dies that reach nobody on that plane, by instance, where others of it do."""
        cut = {
            address: [die for die, link in enumerate(links) if not self.capacities[link]]
            for address, links in self._ends().items()
        }
        return {address: dies for address, dies in cut.items() if 0 < len(dies) < len(self._ends()[address])}

    def _ends(self) -> dict[str, range]:
        return {**self._config.kv_transfer.sources, **self._config.kv_transfer.destinations}

    def lost_bytes_per_s(self, failed: Collection[str]) -> list[int]:
        """What these parts take from the links of all ends together, by plane, bytes/s."""
        whole = self.whole_bytes_per_s()
        left = [self._config.plane_bytes_per_s(plane, failed) for plane in Plane]
        return [before - after for before, after in zip(whole, left, strict=True)]

    def whole_bytes_per_s(self) -> list[int]:
        """What the links of all ends together carry when nothing is broken, by plane, bytes/s."""
        return [self._config.plane_bytes_per_s(plane) for plane in Plane]

    def _route_to_die(self, source: str, destination: str, die: int) -> Route:
        kv_transfer = self._config.kv_transfer
        ranks, dies = kv_transfer.sources[source], kv_transfer.destinations[destination]
        rank = source_rank(die, len(dies), len(ranks))
        between = kv_transfer.between(source, destination)
        links = self._alive(ranks, rank), *between, dies[die]
        route = self._by_links.get(links)
        if route is None:
            rate = kv_transfer.stream_bytes_per_s(source, destination)
            latency_ns = kv_transfer.latency_ns + (kv_transfer.crossing_latency_ns if between else 0)
            profile = PathProfile(links, rate, rate, 1, latency_ns)
            route = self._by_links[links] = self._route(Plane.RDMA, profile, is_awaited=True)
            route.is_cut = not all(self.capacities[link] for link in links)
        return route

    def _alive(self, ranks: range, rank: int) -> int:
        """The link of that rank, or of the next one, in turn, that carries anything; that of the rank if none does."""
        for step in range(len(ranks)):
            link = ranks[(rank + step) % len(ranks)]
            if self.capacities[link]:
                return link
        return ranks[rank]

    def _route(self, plane: Plane, profile: PathProfile, *, is_awaited: bool) -> Route:
        lane = partial(self.planes[plane].lane, profile.links, profile.line_rate_bytes_per_s)

        def make_lanes() -> tuple[int, int]:
            awaited = lane(is_awaited=is_awaited)
            return awaited, lane(is_awaited=False) if plane is Plane.RDMA else awaited

        return Route(profile, make_lanes, self._config.kv_bytes_per_token)

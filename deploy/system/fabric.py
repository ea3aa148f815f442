"""The fabric of a plan: a link for each line of KV transfer, and for the lines that an instance or a pool has together.

NPUs are dealt out to the instances of a supernode in the order of the plan, and its cache servers are its first nodes.
The switches never block (arXiv 2506.12708), so there is no link for these; what they lose is taken from the lines below
them. Traffic of a pool is not counted on the lines of the NPUs of the nodes on whose DRAM it lies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from scheduler.protocol.addresses import cache_ssd_address, pool_addresses
from scheduler.protocol.fabric_messages import Plane, TransferKind
from sim_hw.clusters.numbering import first_numbers
from sim_hw.clusters.supernode import Endpoint, Operation, Supernode
from sim_hw.figure import Figure
from sim_hw.network.fabric_rates import CROSSING_LATENCY_S, kv_transfer_rate, pool_rate
from sim_hw.network.lines import FleetLines, LineEnd, Lines
from sim_hw.planes import Plane as CatalogPlane
from workers.fabric.background import BackgroundFlow
from workers.fabric.expert_traffic import ExpertLinks
from workers.fabric.routes import FabricConfig, KvTransferRoutes, LinkGroup, PathProfile

if TYPE_CHECKING:  # most fabrics carry nothing of others
    from deploy.settings.background import NamedFlow


IN_ORDER: Final = -1


class Placed(Struct, frozen=True):
    """An instance, on NPUs from `first_npu` on, counted over all supernodes; or, where that is `IN_ORDER`, on the first
    of a supernode that those before it left. Instances may share NPUs if they never exist together."""

    address: str
    num_npus: int
    supernode: int = 0
    first_npu: int = IN_ORDER


class FabricPlan:
    """Links and profiles of prefill, decode and aggregated instances and of the pool of each supernode.

    KV is transferred from prefill instances to decode and aggregated ones; what an aggregated instance computes stays.

    `clusters`: what each supernode is, where not all are `cluster`. Streams between two that differ take the lesser of
    their RDMA rates: the adapters of both are taken to be on one Ethernet.

    `num_cache_servers` by supernode: the nodes whose DRAM is its pool, if any. `oversubscription`: by how much the
    lines of a supernode's dies together exceed what leads from it to the others.
    """

    def __init__(
        self,
        cluster: Supernode,
        prefill: Sequence[Placed],
        decode: Sequence[Placed],
        num_cache_servers: Sequence[int],
        cache_plane: Plane,
        oversubscription: float = 1.0,
        *,
        aggregated: Sequence[Placed] = (),
        has_cache_ssd: bool = False,
        keeps_answers: bool = False,
        clusters: Sequence[Supernode] = (),
    ) -> None:
        self.num_supernodes = len(num_cache_servers)
        self.clusters = tuple(clusters) or (cluster,) * self.num_supernodes
        self.lines = FleetLines(self.clusters)
        self._first_npus = first_numbers(one.num_npus for one in self.clusters)
        self._first_dies = first_numbers(one.num_dies for one in self.clusters)
        self._first_cpus = first_numbers(one.num_cpus for one in self.clusters)
        self._first_nodes = first_numbers(one.num_nodes.count for one in self.clusters)
        self.links: list[LinkGroup] = []
        self.profiles: dict[tuple[TransferKind, Plane, str, str], PathProfile] = {}
        self.expert_links: dict[str, ExpertLinks] = {}
        self.pool_out: dict[str, int] = {}
        """The link out of the servers of each pool."""
        self._pool_in: dict[str, int] = {}
        self.num_servers: dict[str, int] = {}
        self._cards_in: dict[str, int] = {}
        self._into: dict[tuple[str, Plane], int] = {}
        self._npus: dict[str, range] = {}
        first = list(self._first_npus)
        for one in (*prefill, *decode, *aggregated):
            begin = first[one.supernode] if one.first_npu == IN_ORDER else one.first_npu
            self._npus[one.address] = range(begin, begin + one.num_npus)
            first[one.supernode] += one.num_npus
        rates = [kv_transfer_rate(one) for one in self.clusters]
        whole = [round(rate.bytes_per_s.value) for rate in rates]
        self.kv_transfer = KvTransferRoutes(
            {one.address: self._die_links(one.address) for one in prefill},
            {one.address: self._die_links(one.address) for one in (*decode, *aggregated)},
            max(whole),
            latency_ns(rates[0].latency_s),
            {one.address: one.supernode for one in (*prefill, *decode, *aggregated)},
            self._crossings(1 / oversubscription),
            round(CROSSING_LATENCY_S.value * 1e9),
            whole if len(set(whole)) > 1 else (),
        )
        pools = pool_addresses(self.num_supernodes)
        for index, num_servers in enumerate(num_cache_servers):
            if num_servers:
                members = [one.address for one in (*prefill, *aggregated) if one.supernode == index]
                ends = self._add_pool(pools[index], index, members, num_servers, cache_plane)
                if has_cache_ssd:
                    self._add_ssd(pools[index], index, num_servers, ends if cache_plane is Plane.VPC else None)
        if keeps_answers:
            self._add_answers(prefill, (*decode, *aggregated), cache_plane)

    def config(
        self,
        kv_bytes_per_token: int,
        num_layers: int,
        with_expert_traffic: bool = False,
        background: Sequence[NamedFlow] = (),
    ) -> FabricConfig:
        """What the fabric is told: of the expert traffic of instances that share their UB links with anything, and of
        what others move."""
        flows = self._laid(background)
        return FabricConfig(
            self.lines,
            self.links,
            self.kv_transfer,
            self.profiles,
            kv_bytes_per_token,
            num_layers,
            self.expert_links if with_expert_traffic else {},
            flows,
        )

    @property
    def addresses(self) -> list[str]:
        """All instances."""
        return list(self._npus)

    def supernode_of(self, address: str) -> int:
        """Where an instance lies."""
        return bisect_right(self._first_npus, self._npus[address].start) - 1

    def cluster_of(self, address: str) -> Supernode:
        """What an instance lies in."""
        return self.clusters[self.supernode_of(address)]

    def _lines_of(self, address: str) -> Lines:
        return self.lines.of(self.supernode_of(address))

    def num_npus(self, address: str) -> int:
        """Packages of an instance."""
        return len(self._npus[address])

    def num_dies(self, address: str) -> int:
        """Dies of an instance."""
        return len(self._dies(address))

    def into(self, address: str, plane: Plane) -> int:
        """The link into an instance on UB or VPC, all its dies together or its share of its nodes' lines. Raises
        LookupError where there are no such lines."""
        if (address, plane) not in self._into:
            group = self._pool_lines(address, plane)
            self._lines_of(address).whole_bytes_per_s(group.end)
            self._into[address, plane] = self.link(group)
        return self._into[address, plane]

    def pool_cards_in(self, pool: str) -> int:
        """The link into the VPC cards of the nodes of a pool. Raises LookupError where there are none."""
        if pool not in self._cards_in:
            index = pool_addresses(self.num_supernodes).index(pool)
            self.lines.of(index).whole_bytes_per_s(LineEnd.VPC_NODE)
            self._cards_in[pool] = self.link(self._server_nodes(pool, index, self.num_servers[pool]))
        return self._cards_in[pool]

    def die_line_rate_bytes_per_s(self, address: str, plane: Plane) -> int:
        """What one die has of the lines of its instance on a plane."""
        group = self._pool_lines(address, plane)
        line = self._lines_of(address).whole_bytes_per_s(group.end) * len(group.numbers) * group.share
        return round(line / self.num_dies(address))

    def _laid(self, background: Sequence[NamedFlow]) -> list[BackgroundFlow]:
        for flow in background:
            if flow.plane is Plane.UB:
                self._add_expert_links({*flow.sources, *flow.destinations})
        instances_of: dict[int, list[str]] = {}
        for address in self._npus:
            for die in self._dies(address):
                instances_of.setdefault(die, []).append(address)

        def links_of(plane: Plane, die: int, direction: int) -> list[int]:
            """Of who may have a die: into it (0) or out of it (1)."""
            here = instances_of.get(die, [])
            if plane is Plane.UB:
                lines = [self.expert_links[address] for address in here]
                return [one.out if direction else one.into for one in lines]
            ends = self.kv_transfer.sources if direction else self.kv_transfer.destinations
            return [ends[address][die - self._dies(address).start] for address in here if address in ends]

        def path_of(plane: Plane, source: int, destination: int) -> list[int]:
            out_of, into = (bisect_right(self._first_dies, die) - 1 for die in (source, destination))
            crossings = self.kv_transfer.crossings
            between = [crossings[out_of][0], crossings[into][1]] if out_of != into else []
            return [*links_of(plane, source, 1), *between, *links_of(plane, destination, 0)]

        return [flow.laid(path_of) for flow in background]

    def _add_expert_links(self, dies: Collection[int]) -> None:
        """Links for the UB lines of instances that have any of these dies and no such links yet."""
        for address in self._npus:
            if address not in self.expert_links and not set(self._dies(address)).isdisjoint(dies):
                out = LinkGroup(LineEnd.UB_DIE, self._dies(address))
                self._note_expert_links(address, self.into(address, Plane.UB), self.link(out))

    def _note_expert_links(self, address: str, into: int, out: int) -> None:
        line = round(self._lines_of(address).whole_bytes_per_s(LineEnd.UB_DIE))
        self.expert_links[address] = ExpertLinks(into, out, len(self._dies(address)), line)

    def link(self, group: LinkGroup) -> int:
        """The number of one link more."""
        self.links.append(group)
        return len(self.links) - 1

    def _dies(self, address: str) -> range:
        npus, supernode = self._npus[address], self.supernode_of(address)
        per_npu = self.clusters[supernode].chip.num_dies.count
        first = self._first_dies[supernode] + (npus.start - self._first_npus[supernode]) * per_npu
        return range(first, first + len(npus) * per_npu)

    def _die_links(self, address: str) -> range:
        links = [self.link(LinkGroup(LineEnd.RDMA_DIE, range(die, die + 1))) for die in self._dies(address)]
        return range(links[0], links[-1] + 1)

    def _crossings(self, share: float) -> list[tuple[int, int]]:
        """Links out of and into each supernode, where there are several."""
        if self.num_supernodes == 1:
            return []
        pairs = zip(self._first_dies, self.clusters, strict=True)
        lines = [LinkGroup(LineEnd.RDMA_DIE, range(first, first + one.num_dies), share) for first, one in pairs]
        return [(self.link(line), self.link(line)) for line in lines]

    def _add_pool(
        self, pool: str, index: int, addresses: Sequence[str], num_servers: int, plane: Plane
    ) -> tuple[int, int]:
        """Returns the links out of its servers and into them."""
        node = self.clusters[index]
        reads, writes = (
            pool_rate(node, CatalogPlane(plane.name.lower()), operation)
            for operation in (Operation.READ, Operation.WRITE)
        )
        if plane is Plane.UB:
            lines = _server_lines(LineEnd.UB_CPU, self._first_cpus[index], num_servers, pool, node.cpus_per_node.count)
        else:
            lines = self._server_nodes(pool, index, num_servers)
        pool_out, pool_in = self.link(lines), self.link(lines)
        self.pool_out[pool], self._pool_in[pool], self.num_servers[pool] = pool_out, pool_in, num_servers
        if plane is Plane.VPC:
            self._cards_in[pool] = pool_in
        for address in addresses:
            num_npus, num_dies = len(self._npus[address]), len(self._dies(address))
            into, out = self.into(address, plane), self.link(self._pool_lines(address, plane))
            if plane is Plane.UB:
                self._note_expert_links(address, into, out)
            line = self.die_line_rate_bytes_per_s(address, plane)
            for key, links, rate in (
                ((TransferKind.CACHE_READ, plane, pool, address), (pool_out, into), reads),
                ((TransferKind.CACHE_WRITE, plane, address, pool), (out, pool_in), writes),
            ):
                # A request's data spreads over all dies of the instance.
                data = round(rate.bytes_per_s_of(num_npus) / num_dies)
                self.profiles[key] = PathProfile(links, line, data, num_dies, latency_ns(rate.latency_s))
        return pool_out, pool_in

    def _add_answers(self, prefill: Sequence[Placed], decode: Sequence[Placed], plane: Plane) -> None:
        """From decode instances to where KV of prompts is kept. An answer lies on one die, and so is one stream."""
        if self._pool_in:
            for one in decode:
                pool = pool_addresses(self.num_supernodes)[one.supernode]
                if pool in self._pool_in:
                    self._add_answers_to_pool(one.address, pool, plane)
            return
        into = {one.address: self.link(LinkGroup(LineEnd.RDMA_DIE, self._dies(one.address))) for one in prefill}
        for source in decode:
            out = self.link(LinkGroup(LineEnd.RDMA_DIE, self._dies(source.address)))
            for address, link in into.items():
                key = TransferKind.CACHE_WRITE, Plane.RDMA, source.address, address
                line = self.kv_transfer.stream_bytes_per_s(source.address, address)
                self.profiles[key] = PathProfile((out, link), line, line, 1, self.kv_transfer.latency_ns)

    def _add_answers_to_pool(self, address: str, pool: str, plane: Plane) -> None:
        rate = pool_rate(self.cluster_of(address), CatalogPlane(plane.name.lower()), Operation.WRITE)
        line = self.die_line_rate_bytes_per_s(address, plane)
        data = round(rate.bytes_per_s_of(self.num_npus(address)) / self.num_dies(address))
        links = self.link(self._pool_lines(address, plane)), self._pool_in[pool]
        key = TransferKind.CACHE_WRITE, plane, address, pool
        self.profiles[key] = PathProfile(links, line, data, 1, latency_ns(rate.latency_s))

    def _add_ssd(self, pool: str, index: int, num_servers: int, ends: tuple[int, int] | None) -> None:
        """Block storage of all servers together, behind the VPC lines of their nodes; `ends`: links that stand for
        these already. Its own rate is not published: the lines bind."""
        nodes = self._server_nodes(pool, index, num_servers)
        out, into = ends or (self.link(nodes), self.link(nodes))
        self._cards_in[pool] = into
        rate = pool_rate(self.clusters[index], CatalogPlane.VPC, Operation.READ)
        line = round(self.lines.of(index).whole_bytes_per_s(LineEnd.VPC_NODE))
        ssd = cache_ssd_address(pool)
        for key, link in (
            ((TransferKind.CACHE_SSD_READ, Plane.VPC, ssd, pool), into),
            ((TransferKind.CACHE_SSD_WRITE, Plane.VPC, pool, ssd), out),
        ):
            self.profiles[key] = PathProfile((link,), line, line, num_servers, latency_ns(rate.latency_s))

    def _server_nodes(self, pool: str, index: int, num_servers: int) -> LinkGroup:
        return _server_lines(LineEnd.VPC_NODE, self._first_nodes[index], num_servers, pool, 1)

    def _pool_lines(self, address: str, plane: Plane) -> LinkGroup:
        """Of the dies of an instance, or its share of the lines of the nodes on which it lies."""
        if plane is Plane.UB:
            return LinkGroup(LineEnd.UB_DIE, self._dies(address))
        npus, supernode = self._npus[address], self.supernode_of(address)
        per_node, first = self.clusters[supernode].npus_per_node.count, self._first_nodes[supernode]
        begin, end = (npu - self._first_npus[supernode] for npu in (npus.start, npus.stop))
        nodes = range(first + begin // per_node, first - (-end // per_node))
        return LinkGroup(LineEnd.VPC_NODE, nodes, len(npus) / (len(nodes) * per_node))


def _server_lines(end: LineEnd, first: int, num_servers: int, pool: str, per_server: int) -> LinkGroup:
    return LinkGroup(end, range(first, first + num_servers * per_server), 1.0, pool, per_server)


def pool_bytes_per_s(clusters: Sequence[Supernode], num_cache_servers: Sequence[int]) -> float:
    """What the UB lines of the CPUs of cache servers carry together, one direction; 0 where they have none.

    Both by supernode.
    """
    found = 0.0
    for cluster, num_servers in zip(clusters, num_cache_servers, strict=True):
        lines = Lines(cluster)
        if lines.has(LineEnd.UB_CPU):
            found += num_servers * cluster.cpus_per_node.count * lines.whole_bytes_per_s(LineEnd.UB_CPU)
    return found


def plane_capacity_bytes_per_s(clusters: Sequence[Supernode]) -> dict[Plane, float]:
    """Line rate of all endpoints of each plane together, of these supernodes, one direction."""
    ends = {Plane.UB: Endpoint.DIE, Plane.RDMA: Endpoint.DIE, Plane.VPC: Endpoint.NODE}

    def whole(cluster: Supernode, plane: Plane, end: Endpoint) -> float:
        line = cluster.port(CatalogPlane(plane.name.lower()), end).bytes_per_s.value
        return cluster.num_endpoints(end) * line

    return {plane: sum(whole(one, plane, end) for one in clusters) for plane, end in ends.items()}


def latency_ns(latency_s: Figure) -> int:
    """As the fabric counts it."""
    return round(latency_s.value * 1e9)

"""The fabric of a plan: one link for each plane and direction of an instance, and of the cache pool.

Dies of an instance are alike, so their lines together are one link. The switches never block (arXiv 2506.12708), so
there is none for these; traffic of the pool is not counted on the lines of the nodes on whose DRAM it lies.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.config import CACHE_ADDRESS
from scheduler.protocol.messages import Plane, TransferKind
from sim_hw.hardware.fabric_rates import FabricRate, hand_over_rate, pool_rate
from sim_hw.hardware.supernode import Endpoint, Operation, Supernode
from sim_hw.hardware.supernode import Plane as CatalogPlane
from workers.fabric import Channel, FabricConfig

Sized = tuple[str, int]
"""(address, number of NPUs) of an instance."""


class FabricPlan:
    """Links and channels of prefill and decode instances and of a pool of `num_cache_servers` nodes' DRAM, if any."""

    def __init__(
        self,
        cluster: Supernode,
        prefill: Sequence[Sized],
        decode: Sequence[Sized],
        num_cache_servers: int,
        cache_plane: Plane,
    ) -> None:
        self._cluster = cluster
        self.capacities_bytes_per_s: list[int] = []
        self.channels: dict[tuple[TransferKind, Plane, str, str], Channel] = {}
        self._add_hand_over(prefill, decode)
        if num_cache_servers:
            self._add_pool(prefill, num_cache_servers, cache_plane)

    def config(self, kv_bytes_per_token: int, num_layers: int) -> FabricConfig:
        """What the fabric is told."""
        return FabricConfig(self.capacities_bytes_per_s, self.channels, kv_bytes_per_token, num_layers)

    def _link(self, bytes_per_s: float) -> int:
        self.capacities_bytes_per_s.append(round(bytes_per_s))
        return len(self.capacities_bytes_per_s) - 1

    def _add_hand_over(self, prefill: Sequence[Sized], decode: Sequence[Sized]) -> None:
        rate = hand_over_rate(self._cluster)
        line = round(rate.bytes_per_s.value)
        into = {address: self._link(rate.bytes_per_s_of(num_npus)) for address, num_npus in decode}
        for source, num_npus in prefill:
            out = self._link(rate.bytes_per_s_of(num_npus))
            for destination, link in into.items():
                # One decode die pulls a request's KV from one prefill rank; different requests use different ranks.
                channel = Channel((out, link), line, line, None, _latency_ns(rate))
                self.channels[TransferKind.HAND_OVER, Plane.RDMA, source, destination] = channel

    def _add_pool(self, prefill: Sequence[Sized], num_servers: int, plane: Plane) -> None:
        node = self._cluster
        dies_per_npu = node.chip.num_dies.count
        reads, writes = (
            pool_rate(node, CatalogPlane(plane.name.lower()), operation)
            for operation in (Operation.READ, Operation.WRITE)
        )
        if plane is Plane.UB:
            die_bytes_per_s = node.port(CatalogPlane.UB, Endpoint.DIE).bytes_per_s.value
            cpu_bytes_per_s = node.port(CatalogPlane.UB, Endpoint.CPU).bytes_per_s.value
            server_bytes_per_s = node.cpus_per_node.count * cpu_bytes_per_s
        else:
            die_bytes_per_s = reads.bytes_per_s_of(1) / dies_per_npu
            server_bytes_per_s = reads.bytes_per_s.value
        pool_out, pool_in = (self._link(num_servers * server_bytes_per_s) for _ in range(2))
        for address, num_npus in prefill:
            num_dies = num_npus * dies_per_npu
            into, out = (self._link(num_dies * die_bytes_per_s) for _ in range(2))
            for key, links, rate in (
                ((TransferKind.CACHE_READ, plane, CACHE_ADDRESS, address), (pool_out, into), reads),
                ((TransferKind.CACHE_WRITE, plane, address, CACHE_ADDRESS), (out, pool_in), writes),
            ):
                # A request's data spreads over all dies of the instance.
                data = round(rate.bytes_per_s_of(num_npus) / num_dies)
                self.channels[key] = Channel(links, round(die_bytes_per_s), data, num_dies, _latency_ns(rate))


def _latency_ns(rate: FabricRate) -> int:
    return round(rate.latency_s.value * 1e9)

"""Constant rates of the three planes, for a fabric in which each endpoint has its own line and the core never blocks.

CloudMatrix384's second switch level is not oversubscribed (arXiv 2506.12708), so the lines of the endpoints bind; of
other clusters the same is assumed. RDMA and VPC carry their raw line rate: no efficiency is published for them.
"""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.supernode import Endpoint, Memory, Operation, Reach, Supernode
from sim_hw.errors import HardwareModelError
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane

RDMA_LATENCY_S = Figure(
    5e-6, "s", "none published; the order of a RoCE write through two switches", Confidence.ESTIMATE
)
CROSSING_LATENCY_S = Figure(
    5e-6, "s", "none published; two switches and some 100 m of fibre between supernodes", Confidence.ESTIMATE
)
VPC_LATENCY_S = Figure(50e-6, "s", "none published; the order of a TCP hop in one data centre", Confidence.ESTIMATE)


class FabricRate(Struct, frozen=True):
    """What one endpoint of a plane moves in one direction, and the time before the first byte arrives."""

    cluster: Supernode
    endpoint: Endpoint
    bytes_per_s: Figure
    latency_s: Figure

    def bytes_per_s_of(self, num_npus: int) -> float:
        """Rate of `num_npus` packages together: their dies, and on VPC their share of a node's line."""
        cluster = self.cluster
        dies_per_node = cluster.npus_per_node.count * cluster.chip.num_dies.count
        per_node = {Endpoint.DIE: dies_per_node, Endpoint.CPU: cluster.cpus_per_node.count, Endpoint.NODE: 1}
        return num_npus * per_node[self.endpoint] * self.bytes_per_s.value / cluster.npus_per_node.value


def kv_transfer_rate(cluster: Supernode) -> FabricRate:
    """Prefill-to-decode KV transfer over RDMA; 200 Gbit/s per die of CloudMatrix384."""
    return FabricRate(cluster, Endpoint.DIE, cluster.port(Plane.RDMA, Endpoint.DIE).bytes_per_s, RDMA_LATENCY_S)


def pool_rate(cluster: Supernode, plane: Plane, operation: Operation) -> FabricRate:
    """A die reads or writes the cache pool, DRAM of all nodes; on CloudMatrix384 over UB 147 and 107 GB/s.

    Raises `HardwareModelError` where nobody has measured that on UB.
    """
    if plane is Plane.VPC:
        return FabricRate(cluster, Endpoint.NODE, cluster.port(plane, Endpoint.NODE).bytes_per_s, VPC_LATENCY_S)
    try:
        # The pool spans all nodes, so a block lies on another node 47 times out of 48.
        access = cluster.ub_access(Memory.CPU_DRAM, operation, Reach.OTHER_NODE)
    except LookupError:
        raise HardwareModelError(
            f"no rate is known at which NPUs of {cluster.name} reach the DRAM of other nodes over ub: "
            "take --cache local, --cache none or --cache-plane vpc"
        ) from None
    return FabricRate(cluster, Endpoint.DIE, access.bytes_per_s, access.latency_s)

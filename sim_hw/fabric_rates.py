"""Constant rates of the three planes, for a fabric in which each endpoint has its own line and the core never blocks.

The supernode's second switch level is not oversubscribed (arXiv 2506.12708), so the lines of the endpoints bind. RDMA
and VPC carry their raw line rate: no efficiency is published for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim_hw.figure import Confidence, Figure
from sim_hw.supernode import Endpoint, Memory, Operation, Plane, Reach
from sim_hw.supernodes import CLOUDMATRIX384


@dataclass(frozen=True, slots=True)
class FabricRate:
    """What one endpoint of a plane moves in one direction, and the time before the first byte arrives."""

    plane: Plane
    endpoint: Endpoint
    bytes_per_s: Figure
    latency_s: Figure

    def bytes_per_s_of(self, num_npus: int) -> float:
        """Rate of `num_npus` packages together: two dies each, and on VPC their share of a node's line."""
        node = CLOUDMATRIX384
        dies_per_node = node.npus_per_node.count * node.chip.num_dies.count
        per_node = {Endpoint.DIE: dies_per_node, Endpoint.CPU: node.cpus_per_node.count, Endpoint.NODE: 1}
        return num_npus * per_node[self.endpoint] * self.bytes_per_s.value / node.npus_per_node.value


def _ub_rate(operation: Operation) -> FabricRate:
    # The cache pool spans the DRAM of all nodes, so a block lies on another node 47 times out of 48.
    access = CLOUDMATRIX384.ub_access(Memory.CPU_DRAM, operation, Reach.OTHER_NODE)
    return FabricRate(Plane.UB, Endpoint.DIE, access.bytes_per_s, access.latency_s)


UB_READ = _ub_rate(Operation.READ)
"""A die reads the cache pool: 147 GB/s, 1.7 us."""

UB_WRITE = _ub_rate(Operation.WRITE)
"""A die writes to the cache pool: 107 GB/s, 1.9 us."""

RDMA = FabricRate(
    Plane.RDMA,
    Endpoint.DIE,
    CLOUDMATRIX384.port(Plane.RDMA, Endpoint.DIE).bytes_per_s,
    Figure(5e-6, "s", "none published; the order of a RoCE write through two switches", Confidence.ESTIMATE),
)
"""Prefill-to-decode hand-over: 200 Gbit/s per die."""

VPC = FabricRate(
    Plane.VPC,
    Endpoint.NODE,
    CLOUDMATRIX384.port(Plane.VPC, Endpoint.NODE).bytes_per_s,
    Figure(50e-6, "s", "none published; the order of a TCP hop in one data centre", Confidence.ESTIMATE),
)
"""Storage and management, and the cache pool when it is put on this plane: 400 Gbit/s per node."""

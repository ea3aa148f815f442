"""What follows from a supernode's figures: sums over all its chips, links and racks."""

from __future__ import annotations

from msgspec import Struct

from sim_hw.clusters.network_parts import network_parts
from sim_hw.clusters.supernode import PartKind, Supernode


class SupernodeTotals(Struct, frozen=True):
    """Of the whole supernode, one direction and dense."""

    nodes: int
    npus: int
    dies: int
    cpus: int
    compute_racks: int
    network_racks: int
    flops: dict[str, float]
    """By precision, FLOP/s."""
    hbm_bytes: float
    hbm_bytes_per_s: float
    plane_bytes_per_s: dict[str, dict[str, float]]
    """Line rates by plane and kind of endpoint."""
    parts: dict[str, int]
    """By title; switches and optics of a network of which none is named are estimated."""
    optical_modules: int
    provisioned_w: float
    provisioned_w_per_npu: float
    price_usd: float
    price_usd_per_npu: float


def totals(supernode: Supernode) -> SupernodeTotals:
    """The derived figures of a supernode."""
    chip, num_npus, parts = supernode.chip, supernode.num_npus, network_parts(supernode)
    planes: dict[str, dict[str, float]] = {}
    for port in supernode.ports:
        rate = supernode.num_endpoints(port.endpoint) * port.bytes_per_s.value
        planes.setdefault(port.plane.value, {})[port.endpoint.value] = rate
    return SupernodeTotals(
        nodes=supernode.num_nodes.count,
        npus=num_npus,
        dies=supernode.num_dies,
        cpus=supernode.num_cpus,
        compute_racks=supernode.compute_racks.count,
        network_racks=supernode.network_racks.count,
        flops={str(precision): num_npus * chip.flops(precision) for precision in chip.die.peak.by_precision()},
        hbm_bytes=num_npus * chip.hbm_bytes,
        hbm_bytes_per_s=num_npus * chip.hbm_bytes_per_s,
        plane_bytes_per_s=planes,
        parts={part.title: supernode.num_parts(part) for part in parts},
        optical_modules=sum(supernode.num_parts(part) for part in parts if part.kind is PartKind.OPTICAL_MODULE),
        provisioned_w=supernode.provisioned_w.value,
        provisioned_w_per_npu=supernode.provisioned_w.value / num_npus,
        price_usd=supernode.price_usd.value,
        price_usd_per_npu=supernode.price_usd.value / num_npus,
    )

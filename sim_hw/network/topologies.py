"""The topologies of the supernodes, built from their profiles and held against what the profiles count.

CloudMatrix384: a die has a port to each of the 7 first-level chips of its node; first-level chip i of every node has
one link to each of the 16 second-level chips of sub-plane i, and two twin chips share an optical link (CM v2, CM v3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sim_hw.figure import Confidence, Figure
from sim_hw.hardware.supernode import Endpoint, PartKind, PartOf, Plane, Supernode
from sim_hw.hardware.supernodes import CLOUDMATRIX384, GB200_NVL72, H100_CLUSTER, H800_CLUSTER
from sim_hw.network.topology import Link, Topology

_TWO = Confidence.TWO_SOURCES
_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE
_CM = "CM v2, CM v3"

MODULE_BITS_PER_S: Mapping[str, Figure] = MappingProxyType(
    {
        "400G": Figure(400e9, "bit/s", "SA transcript, qsfptek; fits the port rates", _ONE),
        "800G": Figure(800e9, "bit/s", "Tom's Hardware, TrendForce, capacitymedia", _ONE),
    }
)
"""Line rate of an optical module: the sources contradict each other, and none is official."""


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """The scale-up network: ports of a die are dealt in turn to the first-level switches of its node or supernode.

    `second_level`: second-level chips to each of which every first-level switch has one link; `links_per_cable` of
    these share an optical link. `second_level_ports`: of one such chip.
    """

    ports_per_die: Figure
    first_level: Figure
    scope: PartOf
    second_level: Figure | None = None
    second_level_ports: Figure | None = None
    links_per_cable: int = 1


@dataclass(frozen=True, slots=True)
class ScaleOut:
    """The RDMA network: a leaf has `ports_down` NPUs below it and as many links to the spines above."""

    ports_down: Figure
    num_spines: Figure


_TREE = ScaleOut(
    Figure(32, "port", "assumed: half of a 64-port switch of 400 Gbit/s", _ESTIMATE),
    Figure(6, "spine switch", "assumed: 384 / 64, no oversubscription", _ESTIMATE),
)


def _hopper(ports: int) -> ScaleUp:
    return ScaleUp(
        Figure(ports, "port", "NVLink 4 at 25 GB/s a port", _ONE),
        Figure(4, "NVSwitch chip", "DGX", _ONE),
        PartOf.NODE,
    )


_NETWORKS: Mapping[str, tuple[ScaleUp, ScaleOut]] = {
    CLOUDMATRIX384.name: (
        ScaleUp(
            Figure(7, "port", "CM v2, MS", _TWO),
            Figure(7, "L1 UB switch chip", _CM, _TWO),
            PartOf.NODE,
            Figure(16, "L2 UB switch chip", f"of each sub-plane; {_CM}", _TWO),
            Figure(48, "port", "CM v2", _TWO),
            links_per_cable=2,
        ),
        _TREE,
    ),
    GB200_NVL72.name: (
        ScaleUp(
            Figure(18, "port", "NVLink 5 at 50 GB/s a port, one to each NVSwitch chip", _ESTIMATE),
            Figure(18, "NVSwitch chip", "two per switch tray", _ESTIMATE),
            PartOf.SUPERNODE,
        ),
        ScaleOut(
            Figure(32, "port", "assumed as for the other clusters", _ESTIMATE),
            Figure(2, "spine switch", "assumed: 72 links on switches of 64 ports", _ESTIMATE),
        ),
    ),
    H100_CLUSTER.name: (_hopper(18), _TREE),
    H800_CLUSTER.name: (_hopper(8), _TREE),
}


def build_topology(
    supernode: Supernode, module: str = "400G", networks: tuple[ScaleUp, ScaleOut] | None = None
) -> Topology:
    """The links of a supernode. Raises ValueError, with both numbers, when its profile does not add up.

    `module` names the line rate of an optical module; `networks` replaces the known ones. A supernode without any has
    one switch for each scale-up domain and one for all RDMA adapters, and its optical modules are not held against its
    profile.
    """
    if module not in MODULE_BITS_PER_S:
        raise ValueError(f"unknown optical module {module!r}; known: {', '.join(MODULE_BITS_PER_S)}")
    known = networks or _NETWORKS.get(supernode.name)
    scale_up, scale_out = known or _plain(supernode)
    _check(supernode, scale_up)
    links = [*_scale_up(supernode, scale_up), *_scale_out(supernode, scale_out), *_vpc(supernode)]
    topology = Topology(supernode.name, links, MODULE_BITS_PER_S[module])
    if known:
        _check_counts(supernode, topology)
    return topology


def _plain(supernode: Supernode) -> tuple[ScaleUp, ScaleOut]:
    one = Figure(1, "switch", "assumed: nothing is known of the network", _ESTIMATE)
    is_within_node = supernode.chip.scale_up_domain_npus.count <= supernode.npus_per_node.count
    scale_up = ScaleUp(one, one, PartOf.NODE if is_within_node else PartOf.SUPERNODE)
    return scale_up, ScaleOut(Figure(supernode.num_npus, "port", one.source, _ESTIMATE), one)


def _check(supernode: Supernode, scale_up: ScaleUp) -> None:
    for port in supernode.ports:
        if not port.bytes_per_s.value > 0:
            raise ValueError(
                f"{supernode.name}: a {port.endpoint} is attached to {port.plane} with {port.bytes_per_s.value:g} B/s; "
                "give a rate above 0"
            )
    if scale_up.ports_per_die.count < scale_up.first_level.count:
        raise ValueError(
            f"{supernode.name}: {scale_up.ports_per_die.count} ports of a die do not reach "
            f"{scale_up.first_level.count} first-level switches; give each die a port to each"
        )
    if scale_up.second_level is None or scale_up.second_level_ports is None:
        return
    nodes, ports = supernode.num_nodes.count, scale_up.second_level_ports.count
    if nodes > ports:
        raise ValueError(f"{supernode.name}: {nodes} nodes on second-level switches of {ports} ports; leave nodes out")
    above = scale_up.first_level.count * scale_up.second_level.count
    below = supernode.npus_per_node.count * supernode.chip.num_dies.count * scale_up.ports_per_die.count
    if above != below:
        raise ValueError(
            f"{supernode.name}: the switches of a node have {above} links up, its dies {below} ports; make them equal"
        )
    if scale_up.second_level.count % scale_up.links_per_cable:
        raise ValueError(
            f"{supernode.name}: {scale_up.second_level.count} links up do not fill cables of {scale_up.links_per_cable}"
        )


def _check_counts(supernode: Supernode, topology: Topology) -> None:
    """What the wiring gives against what the profile counts, where it does."""
    counted = supernode.num_parts_of(PartKind.OPTICAL_MODULE)
    built = topology.module_account().total
    if counted and counted != built:
        raise ValueError(
            f"{supernode.name}: the links need {built:,} optical modules, the profile counts {counted:,}; mend either"
        )


def _scale_up(supernode: Supernode, network: ScaleUp) -> Iterator[Link]:
    ub, ports, num_first = Plane.UB, network.ports_per_die.count, network.first_level.count
    port_bytes_per_s = supernode.port(ub, Endpoint.DIE).bytes_per_s.value / ports
    for npu in range(supernode.num_npus):
        node = npu // supernode.npus_per_node.count
        for die in range(supernode.chip.num_dies.count):
            for port in range(ports):
                switch, plane = _first_level(network, node, port % num_first)
                yield Link(ub, f"npu/{npu}/{die}", switch, port_bytes_per_s, f"npu/{npu}/{die}/ub/{port}", False, plane)
    for cpu_port in supernode.ports:
        if (cpu_port.plane, cpu_port.endpoint) == (ub, Endpoint.CPU):
            yield from _cpus(supernode, network, cpu_port.bytes_per_s.value / num_first)
    if network.second_level is None:
        return
    for node in range(supernode.num_nodes.count):
        for index in range(num_first):
            switch, plane = _first_level(network, node, index)
            for chip in range(network.second_level.count):
                cable = f"ub/{node}/{index}/{chip // network.links_per_cable}"
                yield Link(ub, switch, f"l2/{index}/{chip}", port_bytes_per_s, cable, True, plane)


def _first_level(network: ScaleUp, node: int, index: int) -> tuple[str, str]:
    """Name of a first-level switch and of the sub-plane it stands in."""
    return (f"l1/{node}/{index}" if network.scope is PartOf.NODE else f"l1/{index}"), f"ub/{index}"


def _cpus(supernode: Supernode, network: ScaleUp, bytes_per_s: float) -> Iterator[Link]:
    for node in range(supernode.num_nodes.count):
        for cpu in range(supernode.cpus_per_node.count):
            for index in range(network.first_level.count):
                switch, plane = _first_level(network, node, index)
                name = f"node/{node}/cpu/{cpu}"
                yield Link(Plane.UB, name, switch, bytes_per_s, f"{name}/ub/{index}", False, plane)


def _scale_out(supernode: Supernode, network: ScaleOut) -> Iterator[Link]:
    die_bytes_per_s = supernode.port(Plane.RDMA, Endpoint.DIE).bytes_per_s.value
    num_dies = supernode.chip.num_dies.count
    for npu in range(supernode.num_npus):
        adapter, leaf = f"npu/{npu}/nic", f"leaf/{npu // network.ports_down.count}"
        for die in range(num_dies):
            yield Link(Plane.RDMA, f"npu/{npu}/{die}", adapter, die_bytes_per_s, f"npu/{npu}/{die}/nic")
        npu_bytes_per_s = num_dies * die_bytes_per_s
        yield Link(Plane.RDMA, adapter, leaf, npu_bytes_per_s, f"npu/{npu}/rdma/0", is_optical=True)
        spine = f"spine/{npu % network.num_spines.count}"
        yield Link(Plane.RDMA, leaf, spine, npu_bytes_per_s, f"npu/{npu}/rdma/1", is_optical=True)


def _vpc(supernode: Supernode) -> Iterator[Link]:
    bytes_per_s = supernode.port(Plane.VPC, Endpoint.NODE).bytes_per_s.value
    for node in range(supernode.num_nodes.count):
        yield Link(Plane.VPC, f"node/{node}/vpc", "vpc", bytes_per_s, f"node/{node}/vpc")

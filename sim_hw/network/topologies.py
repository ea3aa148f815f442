"""The topologies of the supernodes, built from their profiles and held against what the profiles count.

CloudMatrix384: a die has a port to each of the 7 first-level chips of its node; first-level chip i of every node has
one link to each of the 16 second-level chips of sub-plane i, and two twin chips share an optical link (CM v2, CM v3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from sim_hw.clusters.sheet import CLUSTERS
from sim_hw.clusters.supernode import Endpoint, PartKind, PartOf, Supernode
from sim_hw.clusters.wiring import ScaleOut, ScaleUp, Wiring
from sim_hw.errors import unknown_name
from sim_hw.figure import Confidence, Figure
from sim_hw.network.topology import Link, Topology
from sim_hw.planes import Plane

_ONE = Confidence.ONE_SOURCE
_ESTIMATE = Confidence.ESTIMATE

MODULE_BITS_PER_S: Mapping[str, Figure] = MappingProxyType(
    {
        "400G": Figure(400e9, "bit/s", "SA transcript, qsfptek; fits the port rates", _ONE),
        "800G": Figure(800e9, "bit/s", "Tom's Hardware, TrendForce, capacitymedia", _ONE),
    }
)
"""Line rate of an optical module: the sources contradict each other, and none is official."""


def build_topology(supernode: Supernode, module: str = "400G", wiring: Wiring | None = None) -> Topology:
    """The links of a supernode. Raises ValueError, with both numbers, when its profile does not add up.

    `module` names the line rate of an optical module; `wiring` replaces the known one. A supernode without has
    one switch for each scale-up domain and one for all RDMA adapters, and its optical modules are not held against its
    profile.
    """
    if module not in MODULE_BITS_PER_S:
        raise unknown_name("optical module", module, MODULE_BITS_PER_S)
    sheet = CLUSTERS.get(supernode.name)
    known = wiring or (sheet and sheet.wiring)
    wiring = known or _plain(supernode)
    _check(supernode, wiring.scale_up)
    links = [*_scale_up(supernode, wiring.scale_up), *_scale_out(supernode, wiring.scale_out), *_vpc(supernode)]
    topology = Topology(supernode.name, links, MODULE_BITS_PER_S[module])
    if known:
        _check_counts(supernode, topology)
    return topology


def _plain(supernode: Supernode) -> Wiring:
    one = Figure(1, "switch", "assumed: nothing is known of the network", _ESTIMATE)
    is_within_node = supernode.chip.scale_up_domain_npus.count <= supernode.npus_per_node.count
    scale_up = ScaleUp(one, one, PartOf.NODE if is_within_node else PartOf.SUPERNODE)
    return Wiring(scale_up, ScaleOut(Figure(supernode.num_npus, "port", one.source, _ESTIMATE), one))


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
            f"{supernode.name}: the links need {built:,} optical modules, the profile counts {counted:,}; fix either"
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

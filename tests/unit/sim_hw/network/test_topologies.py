"""The wiring of each supernode adds up to its profile, and one that does not is refused with the numbers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.supernode import Endpoint, PartKind, PartOf, PlanePort, Supernode
from sim_hw.clusters.wiring import ScaleOut, ScaleUp, Wiring
from sim_hw.figure import Confidence, Figure
from sim_hw.network.topologies import MODULE_BITS_PER_S, build_topology
from sim_hw.planes import Plane
from tests.unit.sim_hw.known import SUPERNODES
from tests.unit.sim_hw.network.reach import bytes_per_s, reached_from


def counted(value: float) -> Figure:
    return Figure(value, "1", "a test", Confidence.ESTIMATE)


TREE = ScaleOut(counted(32), counted(6))


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_links_of_dies_add_up_to_the_ports_of_the_profile(supernode: Supernode) -> None:
    topology = build_topology(supernode)
    for plane in (Plane.UB, Plane.RDMA):
        port = supernode.port(plane, Endpoint.DIE).bytes_per_s.value
        first = f"npu/{supernode.num_npus - 1}/{supernode.chip.num_dies.count - 1}"
        assert bytes_per_s(topology, plane, first, "") == pytest.approx(port)
        dies = bytes_per_s(topology, plane, "npu/", "l1/" if plane is Plane.UB else "npu/")
        assert dies == pytest.approx(supernode.num_dies * port)
    assert bytes_per_s(topology, Plane.VPC, "node/", "vpc") == supernode.num_nodes.count * 50e9
    reached = reached_from(topology, Plane.UB, "npu/0/0")
    dies_in_domain = supernode.chip.scale_up_domain_npus.count * supernode.chip.num_dies.count
    assert sum(device.startswith("npu/") for device in reached) == dies_in_domain


def test_cloudmatrix_has_its_published_links_and_modules() -> None:
    topology = build_topology(CLOUDMATRIX384)
    up = [link for link in topology.links if link.plane is Plane.UB and link.is_optical]
    assert len(up) == 48 * 7 * 16
    assert len({link.cable for link in up}) == 2688 == CLOUDMATRIX384.num_parts_of(PartKind.LINK)
    # Exactly one link between each first-level chip and each second-level chip of its sub-plane, and no other.
    assert {(link.lower, link.upper) for link in up} == {
        (f"l1/{node}/{plane}", f"l2/{plane}/{chip}") for node in range(48) for plane in range(7) for chip in range(16)
    }
    # The twin chips of one optical link are one logical switch.
    assert len({(link.cable, link.upper) for link in up if link.cable.startswith("ub/0/0/")}) == 16
    account = topology.module_account()
    assert account.by_plane == {Plane.UB: 5376, Plane.RDMA: 1536, Plane.VPC: 0}
    assert account.total == 6912


def test_module_rate_is_a_choice_of_two_named_ones() -> None:
    assert build_topology(GB200_NVL72).module_account().bits_per_s.value == 400e9
    assert build_topology(GB200_NVL72, "800G").module_account().bits_per_s == MODULE_BITS_PER_S["800G"]
    with pytest.raises(ValueError, match=r"unknown optical module '1\.6T'; known: 400G, 800G"):
        build_topology(GB200_NVL72, "1.6T")


def scale_up(**changed: float) -> ScaleUp:
    values = {"ports": 7, "first": 7, "second": 16, "chip_ports": 48, "per_cable": 2} | changed
    figures = [counted(values[name]) for name in ("ports", "first", "second", "chip_ports")]
    return ScaleUp(figures[0], figures[1], PartOf.NODE, figures[2], figures[3], int(values["per_cable"]))


@pytest.mark.parametrize(
    ("network", "numbers"),
    [
        (scale_up(ports=6), "6 ports of a die do not reach 7 first-level"),
        (scale_up(second=15), "105 links up, its dies 112 ports"),
        (scale_up(chip_ports=32), "48 nodes on second-level switches of 32 ports"),
        (scale_up(per_cable=3), "16 links up do not fill cables of 3"),
        (scale_up(per_cable=4), "need 4,224 optical modules, the profile counts 6,912"),
    ],
)
def test_a_network_that_does_not_add_up_is_refused_with_the_numbers(network: ScaleUp, numbers: str) -> None:
    with pytest.raises(ValueError, match=f"cloudmatrix384: .*{numbers}"):
        build_topology(CLOUDMATRIX384, wiring=Wiring(network, TREE))


def test_a_rate_that_is_not_above_zero_is_refused() -> None:
    ports = (PlanePort(Plane.VPC, Endpoint.NODE, counted(-5e9)),)
    with pytest.raises(ValueError, match=r"a node is attached to vpc with -5e\+09 B/s"):
        build_topology(replace(CLOUDMATRIX384, other_ports=ports))

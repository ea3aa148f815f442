"""Every part of every built-in topology has a kind."""

from __future__ import annotations

import pytest

from scheduler.protocol.fabric_parts import PartKind, count_kinds, in_order, kind_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.supernode import Supernode
from sim_hw.network.topologies import build_topology
from tests.unit.sim_hw.known import SUPERNODES


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_every_part_has_a_kind(supernode: Supernode) -> None:
    topology = build_topology(supernode)
    counts = count_kinds(topology.parts)
    assert sum(counts.values()) == len(topology.parts)
    assert counts[PartKind.OPTICAL_MODULE] == topology.module_account().total
    assert counts[PartKind.NIC] == supernode.num_npus
    assert counts[PartKind.DIE] == supernode.num_dies
    assert counts[PartKind.VPC_CARD] == supernode.num_nodes.count


def test_the_switches_of_cloudmatrix_are_counted() -> None:
    counts = count_kinds(build_topology(CLOUDMATRIX384).parts)
    assert (counts[PartKind.L1], counts[PartKind.L2], counts[PartKind.SUB_PLANE]) == (336, 112, 7)


def test_what_is_no_part_has_no_kind() -> None:
    for name in ("", "l2", "l2/x/7", "rack/3"):
        with pytest.raises(KeyError):
            kind_of(name)


def test_numbers_are_in_the_order_of_their_values() -> None:
    parts = ["l2/3/10", "l2/3/2", "l2/10/1", "leaf/11", "leaf/2", "vpc"]
    assert in_order(parts) == ["l2/3/2", "l2/3/10", "l2/10/1", "leaf/2", "leaf/11", "vpc"]

"""Parts sum to wholes, no state draws more than the one above it, and every figure has its source."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H100_CLUSTER
from sim_hw.clusters.network_parts import network_parts
from sim_hw.clusters.part_power import PartClass
from sim_hw.clusters.supernode import PartKind, Supernode
from sim_hw.clusters.totals import totals
from sim_hw.figure import Confidence, Figure
from sim_hw.network.topologies import build_topology
from sim_hw.planes import Plane
from sim_hw.power.power_tree import power_tree
from tests.unit.sim_hw.known import SUPERNODES


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_lines_sum_to_the_published_total_and_states_are_in_order(supernode: Supernode) -> None:
    tree = power_tree(supernode)
    assert tree.total.provisioned_w == pytest.approx(supernode.provisioned_w.value, rel=1e-9)
    for line in tree.lines:
        assert line.watts.provisioned_w >= line.watts.busy_w >= line.watts.idle_w >= 0
        assert all(one.unit == "W" and one.source for one in (line.provisioned, line.busy, line.idle))
    by_class = [tree.of_class(one) for one in PartClass]
    assert sum(one.busy_w for one in by_class) == pytest.approx(tree.total.busy_w)
    assert sum(one.idle_w for one in by_class) == pytest.approx(tree.total.idle_w)


def test_parts_of_cloudmatrix_leave_a_margin_that_planners_take() -> None:
    tree = power_tree(CLOUDMATRIX384)
    assert 0.1 < tree.of_class(PartClass.MARGIN).provisioned_w / tree.total.provisioned_w < 0.2
    assert tree.of_class(PartClass.NPU).provisioned_w == 268_800
    assert {line.title: line.count for line in tree.lines}["UB optical module"] == 5376


def test_a_part_that_nobody_described_is_estimated_by_its_kind() -> None:
    bare = replace(H100_CLUSTER, power=None, parts=tuple(replace(part, power=None) for part in H100_CLUSTER.parts))
    lines = {line.title: line for line in power_tree(bare).lines}
    assert lines["RDMA optical module"].provisioned.value == 7.5
    assert lines["leaf switch"].provisioned.value == 450
    assert lines["DRAM, SSD, boards, adapters"].provisioned.value == 8 * 150
    assert all(line.provisioned.source for line in lines.values())
    # Fans: 12 % of 8 x 700 + 2 x 200 + 1,200 W, at 80 % and 22 % of their speed.
    fans = lines["fans and pumps of a node"]
    assert fans.provisioned.value == pytest.approx(864)
    assert fans.busy.value == pytest.approx(864 * 0.512)
    assert fans.idle.value == pytest.approx(864 * 0.22**3)


def test_the_network_of_a_cluster_that_names_none_is_estimated_as_the_built_in_ones_are() -> None:
    known, bare = power_tree(H100_CLUSTER), power_tree(replace(H100_CLUSTER, parts=(), name="mine"))
    for part_class in (PartClass.SWITCH, PartClass.OPTICS):
        assert bare.of_class(part_class) == known.of_class(part_class)
    for plane in Plane:
        assert bare.of_plane(plane) == known.of_plane(plane)
    own = replace(H100_CLUSTER, parts=(), name="mine")
    assert totals(own).optical_modules == build_topology(own).module_account().total == 1536
    lines = [line for line in bare.lines if line.part_class in (PartClass.SWITCH, PartClass.OPTICS)]
    assert all(line.count_figure.source.startswith("estimated, as none is named") for line in lines)


def test_a_network_that_is_named_is_not_estimated_beside_it() -> None:
    switches = tuple(part for part in H100_CLUSTER.parts if part.kind is PartKind.SWITCH)
    tree = power_tree(replace(H100_CLUSTER, parts=switches, name="mine"))
    assert tree.of_class(PartClass.SWITCH) == power_tree(H100_CLUSTER).of_class(PartClass.SWITCH)
    assert {line.title: line.count for line in tree.lines}["RDMA optical module"] == 4 * 384
    single = replace(H100_CLUSTER.chip, scale_up_domain_npus=Figure(1, "NPU", "a test", Confidence.ESTIMATE))
    assert power_tree(replace(H100_CLUSTER, parts=(), chip=single, name="mine")).of_plane(Plane.UB).busy_w == 0
    for supernode in SUPERNODES:
        assert network_parts(supernode) == supernode.parts


def test_links_and_cards_have_no_line_of_their_own() -> None:
    titles = {line.title for line in power_tree(CLOUDMATRIX384).lines}
    assert not titles & {"L1-L2 UB link", "optical fibre", "DDR5 DIMM", "Qingtian card"}


def test_parts_beyond_the_published_total_show_as_a_margin_below_nothing() -> None:
    small = replace(GB200_NVL72, provisioned_w=Figure(100_000, "W", "a guess", Confidence.ESTIMATE))
    tree = power_tree(small)
    assert tree.of_class(PartClass.MARGIN).provisioned_w < 0
    assert tree.total.provisioned_w == pytest.approx(100_000)


@given(watts=st.floats(168, 700), more=st.floats(0, 100))
def test_busier_npus_raise_only_npus_and_losses(watts: float, more: float) -> None:
    def tree(npu_w: float):
        return power_tree(CLOUDMATRIX384, Figure(npu_w, "W", "a test", Confidence.ESTIMATE))

    low, high = tree(watts), tree(watts + more)
    for one in PartClass:
        grows = one in (PartClass.NPU, PartClass.SUPPLY_LOSS)
        assert high.of_class(one).busy_w == low.of_class(one).busy_w or (grows and more > 0)
    assert high.total.busy_w - low.total.busy_w >= 384 * more - 1e-6
    assert high.total.idle_w == low.total.idle_w

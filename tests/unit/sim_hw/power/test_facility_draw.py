"""From NPU watts to the meter: the tree's own states are met, nothing is lost, nothing falls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.part_power import PartClass
from sim_hw.clusters.supernode import Supernode
from sim_hw.power.facility_draw import facility_draw
from sim_hw.power.power_tree import power_tree
from tests.unit.sim_hw.known import SUPERNODES

CLOUDMATRIX = power_tree(CLOUDMATRIX384)


@pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)
def test_busy_and_idle_are_those_of_the_tree(supernode: Supernode) -> None:
    tree = power_tree(supernode)
    npus = tree.of_class(PartClass.NPU)
    assert facility_draw(tree, npus.busy_w).supernode_w == pytest.approx(tree.total.busy_w)
    assert facility_draw(tree, npus.idle_w).supernode_w == pytest.approx(tree.total.idle_w)


@given(npu_w=st.floats(0, 300_000), more_w=st.floats(0, 10_000), pue=st.floats(1, 2))
def test_parts_sum_and_more_npu_watts_cost_at_least_themselves(npu_w: float, more_w: float, pue: float) -> None:
    draw, higher = facility_draw(CLOUDMATRIX, npu_w, pue), facility_draw(CLOUDMATRIX, npu_w + more_w, pue)
    assert draw.supernode_w + draw.building_w == pytest.approx(pue * draw.supernode_w)
    assert higher.supernode_w + higher.building_w - draw.supernode_w - draw.building_w >= more_w - 1e-6
    assert min(draw.other_w, draw.supply_loss_w, draw.building_w) >= 0

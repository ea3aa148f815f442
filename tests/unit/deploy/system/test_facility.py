"""Curves of a fleet are those of `facility_draw`, and a cap at the feeds is met from below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.settings.load import load_settings
from deploy.system.facility import facility_curves, npu_watts_under
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.power.facility_draw import facility_draw
from sim_hw.power.power_tree import power_tree

SITE = load_settings(None, {"pue": 1.5}).money.site
CURVES = facility_curves(SITE, CLOUDMATRIX384, 1, 320)
TREE = power_tree(CLOUDMATRIX384)


@given(npu_w=st.floats(0.0, 384 * 700.0))
def test_the_feeds_draw_what_the_tree_says(npu_w: float) -> None:
    assert CURVES.feed_w(npu_w) == pytest.approx(facility_draw(TREE, npu_w).supernode_w, rel=1e-9)


@given(cap_w=st.floats(100e3, 500e3))
def test_npus_under_a_cap_leave_it_whole(cap_w: float) -> None:
    npu_w = npu_watts_under(CURVES, cap_w)
    if npu_w < 0:
        assert CURVES.feed_w(0.0) > cap_w
    else:
        assert CURVES.feed_w(npu_w) <= cap_w
        assert npu_w == CURVES.npu_w[-1] or CURVES.feed_w(npu_w + 1.0) > cap_w


def test_npus_outside_the_plan_idle_and_a_fleet_is_that_many_supernodes() -> None:
    assert CURVES.spare_npu_w == 64 * 168
    assert CURVES.building_share == pytest.approx(0.5)
    two = facility_curves(SITE, CLOUDMATRIX384, 2, 640)
    assert two.spare_npu_w == 2 * CURVES.spare_npu_w
    assert two.feed_w(200e3) == pytest.approx(2 * CURVES.feed_w(100e3))


@given(npu_w=st.floats(0, 400e3))
def test_networks_draw_what_switches_and_optics_do(npu_w: float) -> None:
    def drawn(curves: Iterable[np.ndarray[Any, Any]]) -> float:
        return sum(float(np.interp(npu_w, CURVES.npu_w, watts)) for watts in curves)

    network = [CURVES.part_w["switch"], CURVES.part_w["optics"]]
    assert drawn(CURVES.plane_w.values()) == pytest.approx(drawn(network))
    assert set(CURVES.plane_w) == {"ub", "rdma", "vpc"}

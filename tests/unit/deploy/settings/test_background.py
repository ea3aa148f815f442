"""A file of background traffic is read strictly, and lies on the links of those whom it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.settings.background import read_background
from deploy.system.fabric import FabricPlan, Placed
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_messages import Plane
from sim_hw.clusters.atlas_800i_a2 import ATLAS_800I_A2
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from workers.fabric.background import BackgroundFlow
from workers.fabric.max_min import FairShares
from workers.fabric.max_min import Path as SharedPath

GOOD = "plane: ub, from: node/0, to: node/7, bytes_per_s: 1.0e+12, start_s: 10, for_s: 2, period_s: 5"


def file_of(tmp_path: Path, *flows: str) -> str:
    path = tmp_path / "background.yaml"
    path.write_text("flows:\n" + "".join(f"  f{index}: {{{flow}}}\n" for index, flow in enumerate(flows)))
    return str(path)


def laid(tmp_path: Path, flow: str) -> tuple[FabricPlan, BackgroundFlow]:
    """Two prefill instances of two nodes each, one decode instance of four, a pool."""
    plan = FabricPlan(CLOUDMATRIX384, [Placed("p0", 16), Placed("p1", 16)], [Placed("d0", 32)], [48], Plane.UB)
    config = plan.config(1, 1, True, read_background(file_of(tmp_path, flow), [CLOUDMATRIX384]))
    return plan, config.background[0]


def test_on_ub_it_lies_on_the_lines_of_both_instances(tmp_path: Path) -> None:
    plan, flow = laid(tmp_path, GOOD)
    assert flow.streams == {(plan.expert_links["p0"].out, plan.expert_links["d0"].into): 16}
    assert flow.bytes_per_s == 10**12 // 16
    assert (flow.start_ns, flow.length_ns, flow.period_ns) == (10 * 10**9, 2 * 10**9, 5 * 10**9)
    assert plan.expert_links["d0"].num_dies == 64
    # Its own lines first, then those that are added for it: nobody else's expert_links is shared.
    assert set(plan.expert_links) == {"p0", "p1", "d0"}


def test_on_rdma_it_lies_on_single_dies_and_those_outside_the_plan_take_nothing(tmp_path: Path) -> None:
    plan, flow = laid(tmp_path, "plane: rdma, from: npu/1, to: node/40, bytes_per_s: 100, for_s: 1")
    sources = plan.kv_transfer.sources["p0"]
    assert flow.streams == {(sources[2],): 8, (sources[3],): 8}
    assert laid(tmp_path, "plane: rdma, from: node/40, to: npu/1/1, bytes_per_s: 100, for_s: 1")[1].streams == {}


def of_several(tmp_path: Path, flow: str) -> tuple[FabricPlan, BackgroundFlow]:
    """A prefill instance of four nodes on 910B (one die an NPU), and a decode instance of two on 910C (two)."""
    clusters = [ATLAS_800I_A2, CLOUDMATRIX384]
    plan = FabricPlan(CLOUDMATRIX384, [Placed("p0", 32)], [Placed("d0", 16, 1)], [0, 0], Plane.UB, clusters=clusters)
    return plan, plan.config(1, 1, True, read_background(file_of(tmp_path, flow), clusters)).background[0]


def test_ends_are_counted_over_all_supernodes_each_with_the_dies_of_its_own_chip(tmp_path: Path) -> None:
    plan, flow = of_several(tmp_path, "plane: ub, from: node/0, to: node/1, bytes_per_s: 800, for_s: 1")
    own = plan.expert_links["p0"]
    assert (flow.streams, flow.bytes_per_s) == ({(own.out, own.into): 8}, 100)
    assert set(plan.expert_links) == {"p0"}
    plan, flow = of_several(tmp_path, "plane: ub, from: node/48, to: npu/392, bytes_per_s: 1600, for_s: 1")
    own = plan.expert_links["d0"]
    assert (flow.streams, flow.bytes_per_s) == ({(own.out, own.into): 16}, 100)
    assert set(plan.expert_links) == {"d0"}


def test_between_supernodes_a_stream_takes_what_leads_out_of_one_and_into_the_other(tmp_path: Path) -> None:
    plan, flow = of_several(tmp_path, "plane: rdma, from: npu/3, to: npu/385/1, bytes_per_s: 100, for_s: 1")
    routes = plan.kv_transfer
    crossing = routes.crossings[0][0], routes.crossings[1][1]
    assert flow.streams == {(routes.sources["p0"][3], *crossing, routes.destinations["d0"][3]): 1}
    with pytest.raises(ConfigError, match=r"to is in supernode 1 and from in 0, and ub ends where .* give plane: rdma"):
        of_several(tmp_path, "plane: ub, from: node/0, to: node/48, bytes_per_s: 100, for_s: 1")
    with pytest.raises(ConfigError, match="is 'npu/3/1'; atlas-800i-a2 counts these from 0 to 0"):
        of_several(tmp_path, "plane: rdma, from: npu/3/1, to: node/48, bytes_per_s: 100, for_s: 1")
    with pytest.raises(ConfigError, match="is 'node/96'; the plan counts these from 0 to 95"):
        of_several(tmp_path, "plane: rdma, from: npu/3, to: node/96, bytes_per_s: 100, for_s: 1")


def in_turn(tmp_path: Path, flow: str) -> tuple[FabricPlan, BackgroundFlow]:
    """On the NPUs of two prefill instances a decode instance may be in their place, and on others nobody."""
    placed = [Placed("p0", 16, 0, 0), Placed("p1", 16, 0, 16)], [Placed("d0", 32, 0, 0), Placed("d1", 32, 0, 32)]
    plan = FabricPlan(CLOUDMATRIX384, *placed, [48], Plane.UB)
    return plan, plan.config(1, 1, True, read_background(file_of(tmp_path, flow), [CLOUDMATRIX384])).background[0]


def test_where_instances_have_a_die_in_turn_it_meets_whichever_is_there(tmp_path: Path) -> None:
    plan, flow = in_turn(tmp_path, GOOD.replace("node/7", "node/5"))
    ends = plan.expert_links
    assert flow.streams == {(ends["p0"].out, ends["d0"].out, ends["d1"].into): 16}
    rdma = "plane: rdma, from: npu/1/0, to: npu/17/1, bytes_per_s: 100, for_s: 1"
    plan, flow = in_turn(tmp_path, rdma)
    routes = plan.kv_transfer
    assert flow.streams == {(routes.sources["p0"][2], routes.destinations["d0"][35]): 1}


def test_a_stream_over_links_that_are_used_in_turn_leaves_each_what_it_would_alone() -> None:
    """Max-min over one more link that nobody else uses is max-min without it."""
    for unused in ((), (2,)):
        shares = FairShares([100, 100, 100])
        other, stream = shares.add_path(SharedPath((0,), 90)), shares.add_path(SharedPath((0, 1, *unused), 70))
        shares.add(other, 1)
        if shares.add(stream, 1):
            shares.share_out()
        assert (shares.level(other), shares.level(stream)) == (50, 50)


@pytest.mark.parametrize(
    ("flow", "told"),
    [
        (GOOD.replace("node/7", "node/48"), "f0.to is 'node/48'; cloudmatrix384 counts these from 0 to 47"),
        (GOOD.replace("node/7", "npu/3/2"), "f0.to is 'npu/3/2'; cloudmatrix384 counts these from 0 to 1"),
        (GOOD.replace("node/7", "l2/1/1"), "f0.to is 'l2/1/1'; give node/N, npu/N or npu/N/D"),
        (GOOD.replace("node/7", "node/-1"), "give node/N, npu/N or npu/N/D"),
        (GOOD.replace("plane: ub", "plane: vpc"), "f0.plane is 'vpc'; give ub or rdma"),
        (GOOD.replace("1.0e+12", "-5"), "f0.bytes_per_s is -5; give a number from 1 to 1e18"),
        (GOOD.replace("for_s: 2", "for_s: 0"), "f0.for_s is 0; give a number above 0"),
        (GOOD.replace("period_s: 5", "period_s: 2"), "f0.period_s is 2; give more than for_s, 2, or leave it out"),
        (GOOD.replace("start_s: 10", "start_s: .inf"), "f0.start_s is inf; give a number of seconds from 0 to 1e+09"),
        (GOOD + ", until_s: 3", "f0.until_s is not known here"),
        (GOOD.replace("for_s", "fr_s"), "for_s is missing"),
    ],
)
def test_what_cannot_be_is_one_line_with_place_fault_and_mend(tmp_path: Path, flow: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_background(file_of(tmp_path, GOOD.replace("ub", "rdma"), flow), [CLOUDMATRIX384])
    assert "background.yaml:3: " in str(caught.value)
    assert told.replace("f0.", "f1.") in str(caught.value)

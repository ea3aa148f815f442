"""How many parts there are, and what is lost with some of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.faults.parts import FabricParts
from deploy.hardware.files import read_cluster
from scheduler.protocol.errors import ConfigError
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.figure import Confidence, Figure
from sim_hw.planes import Plane

H20 = str(Path(__file__).parents[4] / "examples" / "h20-cluster.yaml")
PARTS = FabricParts(CLOUDMATRIX384)


@pytest.mark.parametrize(
    ("broken", "kinds", "lost"),
    [
        (["l2/3/7"], ["1 of 112 L2 switches"], (1 / 112, 0, 0)),
        (["l1/5/2"], ["1 of 336 L1 switches"], (1 / 336, 0, 0)),
        (["ub/2"], ["1 of 7 sub-planes"], (1 / 7, 0, 0)),
        (["npu/12/nic"], ["1 of 384 NICs"], (0, 1 / 384, 0)),
        (["leaf/0", "leaf/1"], ["2 of 12 leaf switches"], (0, 1 / 6, 0)),
        (["node/7/vpc"], ["1 of 48 VPC cards"], (0, 0, 1 / 48)),
        (["npu/3/rdma/0/1"], ["1 of 6,912 optical modules"], (0, 1 / 384, 0)),
        # What lies in the sub-plane is lost once.
        (["l2/2/7", "ub/2"], ["1 of 112 L2 switches", "1 of 7 sub-planes"], (1 / 7, 0, 0)),
        ([], [], (0, 0, 0)),
    ],
)
def test_what_is_lost(broken: list[str], kinds: list[str], lost: tuple[float, ...]) -> None:
    assert [loss.text for loss in PARTS.broken_by_kind(broken)] == kinds
    shares = PARTS.lost_share(broken)
    assert [shares[plane] for plane in (Plane.UB, Plane.RDMA, Plane.VPC)] == pytest.approx(list(lost))


def test_a_cluster_of_ones_own_has_a_plain_network() -> None:
    parts = FabricParts(read_cluster(H20))
    counts = {kind: len(names) for kind, names in parts.by_kind().items()}
    # One switch joins the GPUs of a node, one all adapters.
    assert (counts["l1"], counts["leaf"], counts["nic"], counts["vpc_card"]) == (16, 1, 128, 16)
    assert parts.lost_share(["l1/3/0"])[Plane.UB] == pytest.approx(1 / 16)
    assert parts.lost_share([parts.named("leaf/00")])[Plane.RDMA] == 1


def test_a_profile_that_does_not_add_up_is_told_with_both_numbers() -> None:
    more = replace(CLOUDMATRIX384, num_nodes=Figure(49, "node", "a test", Confidence.ESTIMATE))
    with pytest.raises(ConfigError, match="49 nodes on second-level switches of 48 ports"):
        FabricParts(more)

"""The supernodes add up to what was published, and every number in them has a parent."""

from __future__ import annotations

import pytest

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.hopper import H100_CLUSTER, H800_CLUSTER
from sim_hw.clusters.supernode import Endpoint, Memory, Operation, PartKind, Reach, StageLayout, Supernode
from sim_hw.figure import Confidence
from sim_hw.planes import Plane
from tests.unit.sim_hw.figures import figures
from tests.unit.sim_hw.known import SUPERNODES

each_supernode = pytest.mark.parametrize("supernode", SUPERNODES, ids=lambda one: one.name)


@each_supernode
def test_every_figure_names_unit_and_source(supernode: Supernode) -> None:
    found = list(figures(supernode))
    assert len(found) > 15
    assert all(figure.unit and figure.source and figure.value >= 0 for figure in found)


@each_supernode
def test_its_default_instances_fit_and_have_a_rank_per_die(supernode: Supernode) -> None:
    def fits(stage: StageLayout) -> bool:
        return stage.num_npus <= supernode.num_npus and stage.ep == stage.num_npus * supernode.chip.num_dies.count

    assert fits(supernode.defaults.prefill)
    assert fits(supernode.defaults.decode)
    supernode.chip.flops(supernode.defaults.precision)


def test_cloudmatrix_has_its_published_counts() -> None:
    assert (CLOUDMATRIX384.num_npus, CLOUDMATRIX384.num_dies, CLOUDMATRIX384.num_racks) == (384, 768, 16)
    assert CLOUDMATRIX384.num_cpus == 192
    assert CLOUDMATRIX384.num_parts_of(PartKind.OPTICAL_MODULE) == 6912
    assert CLOUDMATRIX384.chip.scale_up_domain_npus.count == CLOUDMATRIX384.num_npus


def test_every_endpoint_has_its_share_of_the_second_switch_level() -> None:
    ub = CLOUDMATRIX384.port(Plane.UB, Endpoint.DIE).bytes_per_s.value
    rdma = CLOUDMATRIX384.port(Plane.RDMA, Endpoint.DIE).bytes_per_s.value
    # 112 L2 chips of 48 ports of 28 GB/s; each of the 2,688 links has a module at either end.
    assert CLOUDMATRIX384.num_dies * ub == pytest.approx(112 * 1344e9)
    assert CLOUDMATRIX384.num_dies * rdma * 8 == pytest.approx(153.6e12)
    parts = {part.title: CLOUDMATRIX384.num_parts(part) for part in CLOUDMATRIX384.parts}
    assert parts["UB optical module"] == 2 * parts["L1-L2 UB link"]
    assert (parts["L1 UB switch chip"], parts["L2 UB switch chip"], parts["DDR5 DIMM"]) == (336, 112, 1536)


def test_the_gpu_clusters_differ_where_their_chips_do() -> None:
    assert (GB200_NVL72.num_npus, GB200_NVL72.num_cpus, GB200_NVL72.num_nodes.count) == (72, 36, 18)
    assert H800_CLUSTER.num_npus == H100_CLUSTER.num_npus == 384
    assert H800_CLUSTER.price_usd.confidence is Confidence.ESTIMATE
    assert H800_CLUSTER.chip.scale_up_domain_npus.count == H800_CLUSTER.npus_per_node.count


@pytest.mark.parametrize("memory", Memory)
@pytest.mark.parametrize("operation", Operation)
def test_the_other_node_is_slower_and_no_access_beats_the_line(memory: Memory, operation: Operation) -> None:
    near = CLOUDMATRIX384.ub_access(memory, operation, Reach.SAME_NODE)
    far = CLOUDMATRIX384.ub_access(memory, operation, Reach.OTHER_NODE)
    line = CLOUDMATRIX384.port(Plane.UB, Endpoint.DIE).bytes_per_s.value
    assert far.bytes_per_s.value < near.bytes_per_s.value < line
    # The paper's own summary: under 3 % less bandwidth and under 1 us more latency.
    assert far.bytes_per_s.value > 0.97 * near.bytes_per_s.value
    assert 0 < far.latency_s.value - near.latency_s.value < 1e-6


def test_an_unknown_port_is_named() -> None:
    with pytest.raises(LookupError, match="cpu port on the plane vpc"):
        CLOUDMATRIX384.port(Plane.VPC, Endpoint.CPU)
    with pytest.raises(LookupError, match="gb200-nvl72 has no measured UB read of npu"):
        GB200_NVL72.ub_access(Memory.NPU, Operation.READ, Reach.SAME_NODE)

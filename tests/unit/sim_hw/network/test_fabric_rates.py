"""The constant rates agree with the catalog and scale with what is attached."""

from __future__ import annotations

import pytest

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.clusters.supernode import Operation
from sim_hw.errors import HardwareModelError
from sim_hw.network.fabric_rates import FabricRate, kv_transfer_rate, pool_rate
from sim_hw.planes import Plane
from tests.unit.sim_hw.known import SUPERNODES

RDMA = kv_transfer_rate(CLOUDMATRIX384)
UB_READ = pool_rate(CLOUDMATRIX384, Plane.UB, Operation.READ)
UB_WRITE = pool_rate(CLOUDMATRIX384, Plane.UB, Operation.WRITE)
VPC = pool_rate(CLOUDMATRIX384, Plane.VPC, Operation.READ)


def test_rates_are_the_published_ones() -> None:
    assert [rate.bytes_per_s.value for rate in (UB_READ, UB_WRITE, RDMA, VPC)] == [147e9, 107e9, 25e9, 50e9]
    assert (UB_READ.latency_s.value, UB_WRITE.latency_s.value) == pytest.approx((1.7e-6, 1.9e-6))


@pytest.mark.parametrize("rate", [UB_READ, UB_WRITE, RDMA, VPC, *map(kv_transfer_rate, SUPERNODES)])
def test_rate_is_proportional_to_npus(rate: FabricRate) -> None:
    assert rate.bytes_per_s_of(32) == pytest.approx(4 * rate.bytes_per_s_of(8))


def test_rates_of_a_package_and_of_a_node() -> None:
    assert RDMA.bytes_per_s_of(1) * 8 == pytest.approx(400e9)
    assert VPC.bytes_per_s_of(8) == pytest.approx(VPC.bytes_per_s.value)
    assert UB_READ.bytes_per_s_of(1) == pytest.approx(294e9)


def test_a_pool_that_nobody_reached_over_scale_up_is_refused_with_the_fix() -> None:
    with pytest.raises(HardwareModelError, match=r"NPUs of h800-cluster .* over ub: take --cache local"):
        pool_rate(H800_CLUSTER, Plane.UB, Operation.READ)
    assert pool_rate(H800_CLUSTER, Plane.VPC, Operation.READ).bytes_per_s_of(8) == pytest.approx(50e9)

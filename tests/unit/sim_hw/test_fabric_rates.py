"""The constant rates agree with the catalogue and scale with what is attached."""

from __future__ import annotations

import pytest

from sim_hw.fabric_rates import RDMA, UB_READ, UB_WRITE, VPC, FabricRate


def test_rates_are_the_published_ones() -> None:
    assert [rate.bytes_per_s.value for rate in (UB_READ, UB_WRITE, RDMA, VPC)] == [147e9, 107e9, 25e9, 50e9]
    assert (UB_READ.latency_s.value, UB_WRITE.latency_s.value) == pytest.approx((1.7e-6, 1.9e-6))


@pytest.mark.parametrize("rate", [UB_READ, UB_WRITE, RDMA, VPC])
def test_rate_is_proportional_to_npus(rate: FabricRate) -> None:
    assert rate.bytes_per_s_of(32) == pytest.approx(4 * rate.bytes_per_s_of(8))


def test_rates_of_a_package_and_of_a_node() -> None:
    assert RDMA.bytes_per_s_of(1) * 8 == pytest.approx(400e9)
    assert VPC.bytes_per_s_of(8) == pytest.approx(VPC.bytes_per_s.value)
    assert UB_READ.bytes_per_s_of(1) == pytest.approx(294e9)

"""Derived totals are those that were published or follow by hand."""

from __future__ import annotations

import pytest

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.clusters.totals import totals


def test_totals_of_cloudmatrix() -> None:
    sums = totals(CLOUDMATRIX384)
    assert sums.flops["fp16"] == pytest.approx(288.8e15, rel=1e-3)
    assert sums.hbm_bytes == pytest.approx(49.2e12, rel=2e-3)
    assert sums.hbm_bytes_per_s == pytest.approx(1229e12, rel=1e-3)
    assert sums.plane_bytes_per_s["ub"]["die"] == pytest.approx(150.5e12, rel=1e-3)
    assert sums.plane_bytes_per_s["rdma"]["die"] * 8 == pytest.approx(153.6e12)
    assert sums.plane_bytes_per_s["vpc"]["node"] * 8 == pytest.approx(48 * 400e9)
    assert (sums.compute_racks, sums.network_racks, sums.optical_modules) == (12, 4, 6912)
    assert sums.provisioned_w_per_npu == pytest.approx(1457, rel=1e-3)


def test_cloudmatrix_against_nvl72_as_published() -> None:
    one, other = totals(CLOUDMATRIX384), totals(GB200_NVL72)
    # The publication counts 780 TFLOPS per NPU for 707.8, and GB200's HBM in the GB that it is sold by.
    assert one.flops["bf16"] / other.flops["bf16"] == pytest.approx(1.66 * 707.8 / 780, rel=0.01)
    assert one.hbm_bytes / other.hbm_bytes == pytest.approx(3.57 * 13.8 / 14.3, rel=0.02)
    assert one.hbm_bytes_per_s / other.hbm_bytes_per_s == pytest.approx(2.13, rel=0.01)
    scale_out = [each.plane_bytes_per_s["rdma"]["die"] for each in (one, other)]
    assert scale_out[0] / scale_out[1] == pytest.approx(5.33, rel=0.01)
    assert one.provisioned_w / other.provisioned_w == pytest.approx(3.86, rel=0.01)
    assert one.price_usd / other.price_usd == pytest.approx(2.7, rel=0.02)
    assert other.flops == {"bf16": 180e15, "int8": 360e15, "fp8": 360e15, "fp4": 720e15}

"""The power model against what was measured, chip by chip."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips.chip import Precision
from sim_hw.chips.nvidia import B200, H200
from sim_hw.validation.power_points import COMPUTE_SHARE, MEMORY_SHARE, power_points, product_shares

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "power.md"


def test_the_mean_error_of_each_chip_is_at_most_a_tenth_of_its_limit() -> None:
    points = power_points()
    chips = {point.chip for point in points}
    assert chips == {"h100", "h200", "b200", "gb200"}
    for chip in chips:
        assert fmean(abs(point.residual) for point in points if point.chip == chip) <= 0.10, chip


@pytest.mark.parametrize("rows", [1, 65, 257, 4096])
def test_products_reach_the_slower_of_arithmetic_and_memory(rows: float) -> None:
    flop, hbm = product_shares(H200, rows)
    assert flop == pytest.approx(COMPUTE_SHARE) or hbm == pytest.approx(MEMORY_SHARE)
    ridge = H200.flops(Precision.BF16) / H200.hbm_bytes_per_s
    assert flop / hbm == pytest.approx(rows / ridge)


@given(rows=st.floats(1, 1e5), more=st.floats(0, 1e4))
def test_more_rows_never_lower_the_share_of_arithmetic(rows: float, more: float) -> None:
    assert product_shares(B200, rows + more)[0] >= product_shares(B200, rows)[0] * (1 - 1e-12)


def test_the_documentation_shows_every_residual() -> None:
    text = DOCUMENTATION.read_text()
    for point in power_points():
        row = f"| {point.chip} | {point.condition} | {point.measured:.2f} | {point.predicted:.2f} |"
        assert row in text, row

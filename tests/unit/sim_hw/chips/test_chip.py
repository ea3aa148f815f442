"""The chips add up, every number in them has a parent, and a precision that is not there is named."""

from __future__ import annotations

import pytest

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Chip, Precision
from sim_hw.chips.nvidia import GB200, H20, H100, H800
from sim_hw.chips.sheet import power_fit
from sim_hw.errors import PrecisionError
from tests.unit.sim_hw.figures import figures
from tests.unit.sim_hw.known import CHIPS


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_every_figure_names_unit_and_source_and_is_positive(chip: Chip) -> None:
    found = list(figures(chip))
    assert len(found) >= 9
    assert all(figure.unit and figure.source and figure.value > 0 for figure in found)


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_a_package_is_its_dies_and_idles_below_its_limit(chip: Chip) -> None:
    dies = chip.num_dies.count
    assert chip.hbm_bytes == dies * chip.die.hbm_bytes.value
    assert chip.flops(Precision.BF16) == dies * chip.die_flops(Precision.BF16)
    assert chip.idle_w.value <= chip.waiting_w <= power_fit(chip).floor_share.value * chip.tdp_w.value
    assert chip.scale_out_bytes_per_s < chip.scale_up_bytes_per_s < chip.hbm_bytes_per_s


def test_the_ascend_package_has_its_published_peaks() -> None:
    assert ASCEND_910C.flops(Precision.INT8) == pytest.approx(1504e12)
    assert ASCEND_910C.flops(Precision.BF16) == pytest.approx(707.8e12)
    assert ASCEND_910C.flops(Precision.FP16) == pytest.approx(752e12)
    assert ASCEND_910C.hbm_bytes_per_s == pytest.approx(3.2e12)
    assert ASCEND_910C.scale_up_bytes_per_s == pytest.approx(392e9)


def test_what_tells_one_chip_from_another() -> None:
    assert H800.die.scale_up_bytes_per_s.value < H100.die.scale_up_bytes_per_s.value
    assert H800.die_flops(Precision.FP8) == H100.die_flops(Precision.FP8) == 1979e12
    assert H20.die_flops(Precision.BF16) == 148e12
    assert (GB200.scale_up_domain_npus.count, H100.scale_up_domain_npus.count) == (72, 8)


def test_a_precision_without_arithmetic_is_named() -> None:
    with pytest.raises(PrecisionError, match="ascend-910c has no native fp8; it has bf16, fp16, int8"):
        ASCEND_910C.flops(Precision.FP8)

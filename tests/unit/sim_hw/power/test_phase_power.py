"""Watts by phase and batch: in order, bounded, and as sure as what they rest on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chips.ascend import ASCEND_910C
from sim_hw.chips.chip import Chip
from sim_hw.chips.nvidia import B200, GB200, H100
from sim_hw.figure import Confidence
from sim_hw.power.phase_power import Phase, service_figure, service_watts
from tests.unit.sim_hw.known import CHIPS

BATCHES = st.integers(1, 10**6)


@given(chip=st.sampled_from(CHIPS), batch=BATCHES, more=BATCHES)
def test_a_larger_batch_never_draws_less_and_prefill_draws_most(chip: Chip, batch: int, more: int) -> None:
    watts = service_watts(chip, Phase.DECODE, batch)
    assert chip.waiting_w <= watts <= service_watts(chip, Phase.DECODE, batch + more)
    assert watts < service_watts(chip, Phase.PREFILL, 1) < 0.985 * chip.tdp_w.value


def test_decode_rises_by_a_twentieth_for_each_doubling() -> None:
    shares = [service_watts(H100, Phase.DECODE, batch) / 700 for batch in (8, 16, 64, 1024)]
    assert shares == pytest.approx([0.56, 0.61, 0.71, 0.75])


def test_a_gb200_draws_the_watts_of_a_b200_where_memory_bounds() -> None:
    ratio = service_watts(GB200, Phase.DECODE, 64) / service_watts(B200, Phase.DECODE, 64)
    assert ratio == pytest.approx(1.0, abs=0.01)


def test_a_share_of_an_estimated_limit_is_an_estimate() -> None:
    assert service_figure(ASCEND_910C, Phase.PREFILL, 1).confidence is Confidence.ESTIMATE
    assert service_figure(H100, Phase.PREFILL, 1).confidence is Confidence.TWO_SOURCES

"""Watts of a point follow its work: slower is cooler, reuse saves, and no share is above one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_hw.chip_power import chip_watts
from sim_hw.models import DEEPSEEK_R1
from sim_hw.operating_point import DecodePoint, PrefillPoint
from sim_hw.point_power import decode_watts, prefill_watts
from sim_hw.supernodes import CLOUDMATRIX384

DECODE = DecodePoint(
    cluster=CLOUDMATRIX384,
    model=DEEPSEEK_R1,
    num_npus=160,
    ep=320,
    batch_per_npu=96,
    context_tokens=4096,
    mtp_k=1,
)
PREFILL = PrefillPoint(
    cluster=CLOUDMATRIX384, model=DEEPSEEK_R1, num_npus=16, ep=32, batch_tokens_per_npu=16_384, prompt_tokens=4096
)
WEIGHTS = {"weights_experts": 17.4e9, "kv": 20e9}
"""Bytes of one die; only weights are read whole each step."""


def test_a_decode_step_by_hand() -> None:
    step_s = 0.084
    flop_share = 96 * 2 * 73.249e9 / 1504e12 / step_s + 96 * 2 * 4096 * 61 * 278_528 / 707.8e12 / step_s
    hbm_share = (2 * 17.4e9 + 96 * 4096 * 71_424) / 3.2e12 / step_s
    expected = chip_watts(CLOUDMATRIX384.chip, flop_share, hbm_share)
    assert decode_watts(DECODE, step_s, WEIGHTS) == pytest.approx(expected, rel=1e-4)


@given(seconds=st.floats(1e-4, 100), slower=st.floats(1, 100))
def test_slower_is_cooler(seconds: float, slower: float) -> None:
    tdp_w = CLOUDMATRIX384.chip.tdp_w.value
    assert decode_watts(DECODE, seconds * slower, WEIGHTS) <= decode_watts(DECODE, seconds, WEIGHTS) <= tdp_w
    assert prefill_watts(PREFILL, seconds * slower, WEIGHTS) <= prefill_watts(PREFILL, seconds, WEIGHTS) <= tdp_w


@given(reuse=st.floats(0, 1), more=st.floats(0, 1))
def test_reuse_saves_work(reuse: float, more: float) -> None:
    less = prefill_watts(replace(PREFILL, reuse=min(1.0, reuse + more)), 3.0, WEIGHTS)
    assert less <= prefill_watts(replace(PREFILL, reuse=reuse), 3.0, WEIGHTS) + 1e-9

"""Kinds of parameters add to the total."""

from __future__ import annotations

import pytest

from sim_hw.models.published import DEEPSEEK_R1, MODELS
from sim_hw.models.shape import ModelShape
from sim_hw.models.totals import totals


@pytest.mark.parametrize("shape", MODELS, ids=lambda shape: shape.name)
def test_kinds_add_to_the_total(shape: ModelShape) -> None:
    assert sum(totals(shape).parameters.values()) == shape.total_parameters


def test_most_of_deepseek_is_routed_experts() -> None:
    sums = totals(DEEPSEEK_R1)
    assert sums.parameters["routed_experts"] == pytest.approx(58 * 256 * 44.04e6, rel=1e-3)
    assert sums.attention_kind == "latent"
    assert sums.decode_attention_flops_per_kv_token * 4096 == pytest.approx(69.6e9, rel=2e-3)

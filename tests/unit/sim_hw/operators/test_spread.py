"""Spreads of predictions agree with their error bars, and are split by what is unknown."""

from __future__ import annotations

import pytest

from sim_hw.chips.fit import ChipFit
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.error_bar import interval_90
from sim_hw.operators.spread import fits_one_spread_away, spread_of
from sim_hw.steps.default_points import default_decode_point, default_prefill_point
from sim_hw.steps.predict import predict_decode, predict_operator, predict_prefill
from sim_hw.steps.spread import decode_spread, operator_spread, prefill_spread
from tests.unit.sim_hw.known import SUPERNODES


@pytest.mark.parametrize("cluster", SUPERNODES, ids=lambda one: one.name)
def test_a_spread_is_that_of_the_error_bar(cluster: object) -> None:
    assert isinstance(cluster, type(CLOUDMATRIX384))
    decode, prefill = default_decode_point(cluster, DEEPSEEK_R1), default_prefill_point(cluster, DEEPSEEK_R1)
    assert decode_spread(decode).error_bar == pytest.approx(predict_decode(decode).error_bar)
    assert prefill_spread(prefill).error_bar == pytest.approx(predict_prefill(prefill).error_bar)
    asked = predict_operator("dispatch", cluster, 8, 128)
    found = operator_spread("dispatch", cluster, 8, 128)
    assert found.error_bar == pytest.approx(asked.error_bar)
    assert found.interval_90(asked.latency_s) == pytest.approx(interval_90(asked.latency_s, asked.error_bar))


def test_a_prediction_that_no_constant_is_in_has_only_a_rest() -> None:
    def constant(_: ChipFit) -> float:
        return 1.0

    found = spread_of(CLOUDMATRIX384.chip, "decode", constant)
    assert set(found.along) == {0.0}
    assert found.rest == pytest.approx(found.total)


def test_each_direction_is_another_constant() -> None:
    base = fit_of(CLOUDMATRIX384.chip)
    fits = fits_one_spread_away(CLOUDMATRIX384.chip)
    assert len(set(fits)) == len(fits)
    assert base not in fits

"""What a difference may be off by because the hardware model is."""

from __future__ import annotations

from math import hypot
from typing import Any

import pytest

from deploy.compare.prediction_error import Predicted, Ran, half_width, with_prediction_error
from deploy.settings.settings import Settings
from deploy.statistics.intervals import Interval
from deploy.statistics.verdicts import Difference, Verdicts
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.gb200_nvl72 import GB200_NVL72
from sim_hw.operators.error_bar import NORMAL_90
from sim_hw.operators.spread import Spread

CHIP, OTHER = CLOUDMATRIX384.chip, GB200_NVL72.chip
SPREAD = Spread((0.03, -0.04), 0.12)


def test_what_two_predictions_share_cancels() -> None:
    one = Predicted(CHIP, 16, SPREAD, 2.0)
    assert half_width(one, one) == 0.0
    twice = Predicted(CHIP, 16, SPREAD, 4.0)
    assert half_width(one, twice) == pytest.approx(NORMAL_90 * 2.0 * SPREAD.total), "in proportion to the difference"
    larger = Predicted(CHIP, 32, SPREAD, 2.0)
    assert half_width(one, larger) == pytest.approx(NORMAL_90 * hypot(2.0 * 0.12, 2.0 * 0.12))


def test_of_two_chips_nothing_cancels() -> None:
    one, other = Predicted(CHIP, 16, SPREAD, 2.0), Predicted(OTHER, 16, SPREAD, 3.0)
    assert half_width(one, other) == pytest.approx(NORMAL_90 * hypot(2.0, 3.0) * SPREAD.total)


def _run(tpot_s: float) -> dict[str, Any]:
    return {"tpot_s": {"mean": tpot_s}, "decode_load": {"batch_per_npu": 8.0}}


def _judged(difference: float) -> Verdicts:
    interval = Interval(difference, difference - 1e-4, difference + 1e-4)
    figures = {"tpot_s.mean": Difference(interval, "worse"), "slo.attainment": Difference(interval, "better")}
    return Verdicts("one", "batches", figures)


def test_a_verdict_on_two_clusters_says_whether_it_is_within_the_error() -> None:
    here, there = Settings.from_plain({}), Settings.from_plain({"cluster": "h800-cluster", "plan": "2x4p+1x16d"})
    near = with_prediction_error(_judged(0.001), Ran(here, _run(0.020)), Ran(there, _run(0.021)))
    far = with_prediction_error(_judged(0.030), Ran(here, _run(0.020)), Ran(there, _run(0.050)))
    assert near.figures["tpot_s.mean"].is_within_prediction_error
    assert not far.figures["tpot_s.mean"].is_within_prediction_error
    assert near.figures["slo.attainment"].prediction_error is None
    plain = near.to_json()["figures"]["tpot_s.mean"]
    assert plain["is_within_prediction_error"] is True
    assert plain["prediction_error"] > 0.001


def test_of_the_same_hardware_nothing_is_said() -> None:
    here, there = Settings.from_plain({}), Settings.from_plain({"policy": "random"})
    found = with_prediction_error(_judged(0.001), Ran(here, _run(0.020)), Ran(there, _run(0.021)))
    assert found.figures["tpot_s.mean"].prediction_error is None
    assert "prediction_error" not in found.to_json()["figures"]["tpot_s.mean"]

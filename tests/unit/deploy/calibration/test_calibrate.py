"""The arithmetic of a calibration: what measurements tell is found, what they do not tell stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.calibration.advice import advise
from deploy.calibration.calibrate import calibrate_from, doubtful_rows, fit_chip
from deploy.calibration.least_squares import most_probable
from deploy.calibration.measurement import Measurement, Metric, Point, predicted_s
from sim_hw.chips.calibration import calibrated_chip
from sim_hw.chips.constants import constants_of, with_constants
from sim_hw.chips.sheet import fit_of
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.clusters.hopper import H800_CLUSTER
from sim_hw.models.published import DEEPSEEK_R1
from sim_hw.operators.operating_point import DecodePoint
from sim_hw.steps.default_points import default_decode_point
from sim_hw.steps.predict import predict_decode
from sim_hw.steps.spread import decode_spread

CHIP = CLOUDMATRIX384.chip
DECODE = default_decode_point(CLOUDMATRIX384, DEEPSEEK_R1)
LOADS = [(batch, context) for batch in (2, 8, 32, 64, 96) for context in (1024, 8192)]
POINTS: list[Point] = [replace(DECODE, batch_per_npu=batch, context_tokens=context) for batch, context in LOADS]


def measured(truth: Mapping[str, float], noise: float = 0.0, spread: float = 0.01) -> list[Measurement]:
    """What a machine with these constants takes, and chance besides."""
    fit, random = with_constants(fit_of(CHIP), truth), np.random.default_rng(7)
    errors = random.normal(0.0, noise, len(POINTS)) if noise else np.zeros(len(POINTS))
    return [
        Measurement(f"row {at}", point, Metric("tpot_s", 1.0, 1), predicted_s(point, fit) * exp(error), spread)
        for at, (point, error) in enumerate(zip(POINTS, errors, strict=True))
    ]


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_fit_recovers_the_constants_that_its_rows_were_made_with(noise: float) -> None:
    truth = {"request_s": 12e-6, "block_s": 90e-6}
    found = fit_chip(measured(truth, noise))
    for name, value in truth.items():
        one = next(one for one in found.constants if one.name == name)
        off = abs(one.deviations(value) - one.deviations(found.values[name]))
        assert off < 2 * found.spreads[name]
        assert found.spreads[name] < 0.6, "these rows tell it"


def test_a_fit_explains_rows_that_the_model_can_explain() -> None:
    (rows,) = calibrate_from(measured({"request_s": 12e-6, "block_s": 90e-6})).residuals.values()
    assert max(abs(row.error_before) for row in rows) > 0.2
    assert max(abs(row.error_after) for row in rows) < 0.04


def test_priors_hold_what_no_measurement_tells() -> None:
    found = fit_chip(measured({"request_s": 12e-6}))
    for name in ("cached_moves", "pass_s", "vector_efficiency"):  # of prefill
        prior = next(one for one in found.constants if one.name == name)
        assert found.values[name] == pytest.approx(prior.mean, rel=0.03, abs=1e-12)
        assert found.spreads[name] == pytest.approx(1.0, abs=0.03)


def test_rows_as_the_sheet_predicts_them_change_nothing_but_the_spread() -> None:
    found = fit_chip(measured({}))
    assert max(map(abs, found.deviations)) < 1e-3
    before = {one.name: one.mean for one in found.constants}
    assert found.values == pytest.approx(before, rel=1e-3, abs=1e-9)
    assert found.spreads["request_s"] < 0.5


def test_each_chip_has_its_own_fit() -> None:
    other = default_decode_point(H800_CLUSTER, DEEPSEEK_R1)
    row = Measurement("h800", other, Metric("tpot_s", 1.0, 1), 2.0 * predicted_s(other, fit_of(other.chip)))
    together = calibrate_from([*measured({"request_s": 9e-6}), row])
    alone = calibrate_from(measured({"request_s": 9e-6}))
    assert [one.chip for one in together.chips] == ["ascend-910c", "h800"]
    assert together.chips[0] == alone.chips[0]
    assert together.digest != alone.digest


def test_a_calibrated_chip_predicts_what_was_measured_and_is_surer_than_before() -> None:
    rows = measured({"request_s": 12e-6, "block_s": 90e-6})
    cluster = replace(CLOUDMATRIX384, chip=calibrated_chip(CHIP, fit_chip(rows).calibration(CHIP)))
    for row in rows:
        assert isinstance(row.point, DecodePoint)
        point = replace(row.point, cluster=cluster)
        answer, spread = predict_decode(point), decode_spread(point)
        assert answer.iteration_s == pytest.approx(row.seconds, rel=0.04)
        assert answer.error_bar == pytest.approx(spread.error_bar)
        low, high = spread.interval_90(answer.iteration_s)
        assert low < row.seconds < high
        loose = replace(CLOUDMATRIX384, chip=calibrated_chip(CHIP, fit_chip(rows[:1]).calibration(CHIP)))
        assert spread.total <= decode_spread(replace(point, cluster=loose)).total + 1e-3
    assert fit_of(CHIP).request_s.value == 4.31e-6, "nobody else sees it"


def test_what_is_advised_narrows_the_spread_as_foretold() -> None:
    rows = measured({"request_s": 12e-6})[:2]
    found = fit_chip(rows)
    best, *others = advise(found, rows)
    assert best.after <= others[0].after < best.before
    taken = Measurement("next", best.point, Metric("pass_s", 1.0, 1), predicted_s(best.point, fit_of(CHIP)))
    now = advise(fit_chip([*rows, taken]), [*rows])
    assert now[0].before < best.before


def test_bounds_are_kept() -> None:
    """The top lies beyond the bound of the first, and the second makes up for it as far as its prior lets it."""
    low, high = np.array([-6.0, -6.0]), np.array([1.0, 6.0])
    found = most_probable(lambda u: np.array([10.0 * (u[0] + 0.5 * u[1] - 3.0)]), low, high)
    assert found.deviations[0] == 1.0
    assert found.deviations[1] == pytest.approx(100.0 / (1 + 25.0), rel=1e-3)


def test_constants_are_those_that_a_chip_has() -> None:
    names = {one.name for one in constants_of(H800_CLUSTER.chip)}
    assert "contended_share" not in names, "streams are not given cores there"
    assert "contended_share" in {one.name for one in constants_of(CHIP)}
    for one in constants_of(CHIP, of_any_engine=True):
        own = next(own for own in constants_of(CHIP) if own.name == one.name)
        assert one.spread >= own.spread
        assert one.mean == own.mean


def test_a_row_that_no_engine_explains_is_told() -> None:
    rows = measured({})
    assert not doubtful_rows(calibrate_from(rows))
    seconds_for_milliseconds = [*rows[:3], replace(rows[3], seconds=1000 * rows[3].seconds)]
    (line,) = [one for one in doubtful_rows(calibrate_from(seconds_for_milliseconds)) if one.startswith("row 3 ")]
    assert "unit" in line

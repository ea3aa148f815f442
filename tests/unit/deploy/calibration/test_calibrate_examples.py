"""The published rows that ship as examples: met after calibration, and held by the intervals made of the others."""

from __future__ import annotations

from math import log

import pytest

from deploy.calibration.calibrate import calibrate, fit_chip
from deploy.calibration.measurement import Measurement, predicted_s
from deploy.calibration.rows import read_measurements
from sim_hw.chips.calibration import calibrated_chip
from sim_hw.chips.fit import ChipFit
from sim_hw.operators.spread import spread_of
from tests.bench.calibration_study import all_points, without_source
from tests.source_files import ROOT

FOLDER = ROOT / "examples" / "calibration"
FILES = sorted(path.name for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_rows_of_another_engine_are_met_after_calibration(name: str) -> None:
    found = calibrate([str(FOLDER / name)])
    (rows,) = found.residuals.values()
    assert max(abs(row.error_after) for row in rows) < 0.06
    assert max(abs(row.error_before) for row in rows) > 0.12


@pytest.mark.parametrize("name", FILES)
def test_a_row_left_out_lies_in_the_interval_of_the_others_or_near_it(name: str) -> None:
    rows = read_measurements(str(FOLDER / name))
    distances = [_distance(rows[:at] + rows[at + 1 :], rows[at]) for at in range(len(rows))]
    assert sum(distance <= 1.0 for distance in distances) >= len(rows) - 1
    assert max(distances) < 2.0


def _distance(others: list[Measurement], row: Measurement) -> float:
    """From what the others predict, in halves of the 90 % interval."""
    fitted = fit_chip(others)
    chip = calibrated_chip(row.chip, fitted.calibration(row.chip))

    def seconds(fit: ChipFit) -> float:
        return predicted_s(row.point, fit)

    predicted = seconds(chip.calibration.fit)
    return abs(log(row.seconds / predicted)) / log(1.0 + spread_of(chip, row.stage, seconds).error_bar)


@pytest.mark.soak
def test_intervals_hold_what_was_published_of_sources_that_were_left_out() -> None:
    found = without_source(all_points(), lambda point: point.source)
    assert 0.80 <= sum(one.is_inside for one in found) / len(found) <= 0.97

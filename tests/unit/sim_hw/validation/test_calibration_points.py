"""The published points are whole and agree with each other where they should."""

from __future__ import annotations

import pytest

from sim_hw.validation.calibration_points import MODEL_CACHING, CalibrationPoint, calibration_points

POINTS = {point.id: point for point in calibration_points()}


def test_all_points_are_there_once() -> None:
    assert len(POINTS) == len(calibration_points()) == 71
    assert sum(point.group == MODEL_CACHING for point in calibration_points()) == 14
    assert all(point.source and point.confidence in ("1", "2") for point in calibration_points())


@pytest.mark.parametrize(
    "point", [one for one in calibration_points() if one.id.endswith("_latency")], ids=lambda p: p.id
)
def test_printed_bandwidth_counts_about_the_payload(point: CalibrationPoint) -> None:
    printed_bytes = point.value * 1e-6 * POINTS[point.id.replace("latency", "bandwidth")].value * 1e9
    message_bytes = (7.5 if point.conditions["operator"] == "dispatch" else 14) * 1024
    assert 0.94 < printed_bytes / (128 * 8 * message_bytes) < 1.06


def test_cloudmatrix_decode_rates_are_batch_over_tpot() -> None:
    for batch in (96, 8):
        rate, tpot_ms = POINTS[f"cm_decode_b{batch}_tput"].value, POINTS[f"cm_decode_b{batch}_tpot"].value
        assert rate == pytest.approx(batch / tpot_ms * 1e3, rel=3e-3)

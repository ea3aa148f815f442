"""Every published point within its tolerance, and the printed table of residuals."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim_hw.validation.calibration_points import MODEL_CACHING, calibration_points
from sim_hw.validation.validate import ValidationRow, validate

VALIDATION = validate()
ROWS = {row.id: row for row in VALIDATION.rows}
CONTRADICTED = "h800_decode_profile_tpot"
"""128 requests every 50.2 ms would be 2,550 tok/s; 2,325 are printed, and fitted."""

TABLE = Path(__file__).parents[4] / "docs" / "validation.md"


def test_every_point_but_those_about_loading_models_is_predicted() -> None:
    assert list(ROWS) == [point.id for point in calibration_points() if point.group != MODEL_CACHING]


@pytest.mark.parametrize("row", VALIDATION.rows, ids=lambda row: row.id)
def test_a_point_is_met_within_five_percent(row: ValidationRow) -> None:
    assert abs(row.error) <= (0.10 if row.id == CONTRADICTED else 0.05)
    assert row.error == pytest.approx(row.predicted / row.published - 1)


def test_the_mean_error_is_far_below_the_aim_of_three_percent() -> None:
    assert VALIDATION.mape == pytest.approx(sum(abs(row.error) for row in VALIDATION.rows) / len(ROWS))
    assert VALIDATION.mape < 0.016
    assert VALIDATION.max_error == abs(ROWS[CONTRADICTED].error)


def test_contradicting_rows_are_not_both_fitted() -> None:
    assert not ROWS[CONTRADICTED].is_fitted
    assert ROWS["h800_decode_profile_tput"].is_fitted


def test_the_documented_table_is_that_of_a_real_run() -> None:
    text = TABLE.read_text(encoding="utf-8")
    for row in VALIDATION.rows:
        mark = "fitted" if row.is_fitted else ""
        line = (
            f"| `{row.id}` | {row.published:g} | {row.predicted:.4g} | {row.unit} | {100 * row.error:+.1f} % | {mark} |"
        )
        assert line in text, f"docs/validation.md lacks: {line}"

"""`supernode validate`: every published point is there, marked, and a bound on their errors decides the exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.cli import main
from sim_hw.validation.calibration_points import MODEL_CACHING, calibration_points

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def document(capsys: Captured) -> dict[str, Any]:
    """The answer as JSON."""
    assert main(["validate", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_point_is_predicted_or_counted_as_not(document: dict[str, Any]) -> None:
    expected = {point.id: point.value for point in calibration_points() if point.group != MODEL_CACHING}
    assert {name: row["published"] for name, row in document["points"].items()} == expected
    assert document["num_points"] + document["num_not_predicted"] == len(calibration_points()) == 71


def test_means_are_those_of_the_points(document: dict[str, Any]) -> None:
    errors = [abs(row["predicted"] / row["published"] - 1) for row in document["points"].values()]
    assert document["mape"] == pytest.approx(sum(errors) / len(errors))
    assert document["max_error"] == pytest.approx(max(errors))
    parts = document["fitted"], document["not_fitted"]
    assert sum(part["num_points"] for part in parts) == document["num_points"]
    assert sum(part["num_points"] * part["mape"] for part in parts) == pytest.approx(sum(errors))


def test_sums_of_what_is_published_elsewhere_are_those_of_its_rows(document: dict[str, Any]) -> None:
    rows = [row for row in document["published"].values() if row["error"] is not None]
    sums = document["published_sums"]
    assert sums["all"]["num_points"] == len(rows) == sums["fitted"]["num_points"] + sums["checked"]["num_points"]
    assert sums["all"]["mape"] == pytest.approx(sum(abs(row["error"]) for row in rows) / len(rows))
    assert sums["all"]["num_inside_bar"] == sum(abs(row["error"]) <= row["error_bar"] for row in rows)
    assert sums["once_blind"]["num_points"] == sums["when_blind"]["num_points"] == 19
    assert sums["once_blind"]["mape"] < sums["when_blind"]["mape"]


def test_the_page_shows_every_point_and_marks_the_fitted(capsys: Captured, document: dict[str, Any]) -> None:
    assert main(["validate"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    for name, row in document["points"].items():
        assert lines[name].endswith("fitted") == row["is_fitted"]
        assert f"{100 * row['error']:+.1f} %" in lines[name]


@pytest.mark.parametrize(
    ("bound", "code"),
    [
        ("mape>0.05", 0),
        ("mape>0", 1),
        ("points.cm_decode_b96_tpot.published>49", 1),
        ("mpe>0.05", 2),
        ("mape", 2),
    ],
)
def test_a_bound_decides_the_exit_code(capsys: Captured, bound: str, code: int) -> None:
    assert main(["validate", "--fail-if", bound]) == code
    out, err = capsys.readouterr()
    assert (out == "") == (code == 2)
    assert err.count("\n") == (0 if code == 0 else 1)

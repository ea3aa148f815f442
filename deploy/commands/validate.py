"""`supernode validate`: every published point beside what the hardware model predicts for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from deploy.hardware.quantities import table
from deploy.terminal.output import say, tell
from scheduler.metrics.bounds import parse_bound
from sim_hw.validation.calibration_points import MODEL_CACHING, calibration_points
from sim_hw.validation.validate import Validation, ValidationRow, validate

app = typer.Typer(help="Compare published performance with what the model predicts.")

EXIT_BOUND_BROKEN = 1

FailIf = Annotated[list[str] | None, typer.Option("--fail-if", metavar="BOUND", help="Exit 1 if 'mape>0.05' holds.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]


@app.command("validate")
def run(bounds: FailIf = None, as_json: AsJson = False) -> int:
    """Predict every published point; which were fitted on is marked, errors are relative."""
    parsed = [parse_bound(text) for text in bounds or []]
    validation = validate()
    document = _document(validation)
    broken = [bound for bound in parsed if bound.is_broken(document)]
    say(json.dumps(document, indent=2) + "\n" if as_json else _page(validation))
    for bound in broken:
        tell(f"bound broken: {bound.text}")
    return EXIT_BOUND_BROKEN if broken else 0


def _document(validation: Validation) -> dict[str, Any]:
    return {
        "mape": validation.mape,
        "max_error": validation.max_error,
        "num_points": len(validation.rows),
        "num_not_predicted": _num_not_predicted(),
        "fitted": _errors(_fitted(validation)),
        "not_fitted": _errors(_not_fitted(validation)),
        "points": {row.id: _point(row) for row in validation.rows},
    }


def _point(row: ValidationRow) -> dict[str, Any]:
    return {
        "group": row.group,
        "system": row.system,
        "metric": row.metric,
        "unit": row.unit,
        "published": row.published,
        "predicted": row.predicted,
        "error": row.error,
        "error_bar": row.error_bar,
        "is_fitted": row.is_fitted,
        "source": row.source,
        "note": row.note,
    }


def _errors(rows: Sequence[ValidationRow]) -> dict[str, Any]:
    errors = [abs(row.error) for row in rows]
    return {
        "num_points": len(errors),
        "mape": sum(errors) / len(errors) if errors else None,
        "max_error": max(errors, default=None),
    }


def _fitted(validation: Validation) -> list[ValidationRow]:
    return [row for row in validation.rows if row.is_fitted]


def _not_fitted(validation: Validation) -> list[ValidationRow]:
    return [row for row in validation.rows if not row.is_fitted]


def _num_not_predicted() -> int:
    return sum(point.group == MODEL_CACHING for point in calibration_points())


def _page(validation: Validation) -> str:
    rows = [
        (
            row.id,
            f"{row.published:,.5g}",
            f"{row.predicted:,.5g}",
            row.unit,
            f"{100 * row.error:+.1f} %",
            f"+- {100 * row.error_bar:.1f} %",
            "fitted" if row.is_fitted else "",
        )
        for row in validation.rows
    ]
    head = ("point", "published", "predicted", "unit", "error", "error bar", "")
    caching = f"{_num_not_predicted()} points on loading models from storage are not predicted: nothing here loads any."
    sums = [
        ("", "points", "mean absolute error", "largest"),
        ("all", *_cells(validation.rows)),
        ("fitted on", *_cells(_fitted(validation))),
        ("not fitted on", *_cells(_not_fitted(validation))),
    ]
    return f"{table([head, *rows], right=(1, 2, 4, 5))}\n\n{table(sums, right=(1, 2, 3))}\n\n{caching}\n"


def _cells(rows: Sequence[ValidationRow]) -> tuple[str, str, str]:
    errors = _errors(rows)
    if not rows:
        return "0", "-", "-"
    return str(len(rows)), f"{100 * errors['mape']:.2f} %", f"{100 * errors['max_error']:.1f} %"

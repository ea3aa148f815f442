"""`supernode validate`: every published point beside what the hardware model predicts for it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from deploy.calibration.applied import calibrated_clusters
from deploy.hardware.validation_page import validation_document, validation_page
from deploy.terminal.output import say, tell
from scheduler.metrics.bounds import parse_bound
from sim_hw.validation.claims import claims
from sim_hw.validation.published_points import published_rows
from sim_hw.validation.validate import validate

app = typer.Typer(help="Compare published performance with what the model predicts.")

EXIT_BOUND_BROKEN = 1

FailIf = Annotated[list[str] | None, typer.Option("--fail-if", metavar="BOUND", help="Exit 1 if 'mape>0.05' holds.")]
CalibrationFile = Annotated[str | None, typer.Option(metavar="FILE", help="What supernode calibrate wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]


@app.command("validate")
def run(bounds: FailIf = None, calibration: CalibrationFile = None, as_json: AsJson = False) -> int:
    """Predict every published point; which were fitted on is marked, errors are relative.

    With a calibration the points of the chips that it is of are predicted with its constants.
    """
    parsed = [parse_bound(text) for text in bounds or []]
    clusters = calibrated_clusters(calibration)
    validation = validate(clusters)
    published, claimed = published_rows(clusters), claims()
    document = validation_document(validation, published, claimed)
    broken = [bound for bound in parsed if bound.is_broken(document)]
    say(json.dumps(document, indent=2) + "\n" if as_json else validation_page(validation, published, claimed))
    for bound in broken:
        tell(f"bound broken: {bound.text}")
    return EXIT_BOUND_BROKEN if broken else 0

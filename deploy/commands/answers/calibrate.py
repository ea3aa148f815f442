"""`supernode calibrate RUNS`: the constants of a chip's software from a user's own measurements."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from deploy.calibration.advice import advise
from deploy.calibration.calibrate import calibrate, doubtful_rows
from deploy.calibration.page import calibration_document, calibration_page
from deploy.calibration.profile import profile_of, write_profile
from deploy.settings.options import Json
from deploy.terminal.output import say, tell

app = typer.Typer(add_completion=False)

Runs = Annotated[list[str], typer.Argument(metavar="RUNS...", help="Rows in .yaml or .csv; a benchmark's .json.")]
Out = Annotated[str | None, typer.Option(metavar="FILE", help="Where the profile goes, for --calibration.")]
Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="What was measured, where files do not say.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="What was served, where files do not say.")]
Npus = Annotated[int | None, typer.Option(metavar="N", help="NPUs of the instance that decodes.")]
Ep = Annotated[int | None, typer.Option(metavar="N", help="Its ranks of expert parallelism.")]
Tp = Annotated[int | None, typer.Option(metavar="N", help="Its ranks that share the attention of each layer.")]
OverlapName = Annotated[str | None, typer.Option(metavar="KIND", help="none, single_batch or two_batches.")]
Precision = Annotated[str | None, typer.Option(metavar="NAME", help="Of weights and products: int8, fp8, bf16 ...")]
KvPrecision = Annotated[str | None, typer.Option(metavar="NAME", help="Of cached KV: bf16, int8 or fp8.")]
Mtp = Annotated[int | None, typer.Option(metavar="K", help="Speculative tokens of a step.")]
Drafter = Annotated[str | None, typer.Option(metavar="KIND", help="What drafts: mtp, eagle or ngram.")]
AcceptLength = Annotated[float | None, typer.Option(metavar="X", help="Tokens that a step yields.")]


@app.command()
def command(
    runs: Runs,
    out: Out = None,
    cluster: Cluster = None,
    model: Model = None,
    npus: Npus = None,
    ep: Ep = None,
    tp: Tp = None,
    overlap: OverlapName = None,
    precision: Precision = None,
    kv_precision: KvPrecision = None,
    mtp: Mtp = None,
    drafter: Drafter = None,
    accept_length: AcceptLength = None,
    json: Json = False,
) -> int:
    """Fit the constants of a chip's software to measurements; print what is left, and what to measure next."""
    given = {
        "cluster": cluster,
        "model": model,
        "npus": npus,
        "ep": ep,
        "tp": tp,
        "overlap": overlap,
        "precision": precision,
        "kv_precision": kv_precision,
        "mtp": mtp,
        "drafter": drafter,
        "accept_length": accept_length,
    }
    found = calibrate(runs, {name: value for name, value in given.items() if value is not None})
    advices = {one.chip: advise(one, found.measurements[one.chip]) for one in found.chips}
    for line in doubtful_rows(found):
        tell(line)
    if out is not None:
        write_profile(out, profile_of(found))
        tell(f"wrote {out}")
    if json:
        say(json_module.dumps(calibration_document(found, advices), indent=2) + "\n")
    else:
        say(calibration_page(found, advices))
    return 0

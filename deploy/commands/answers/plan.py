"""`supernode plan TRACE`: the smallest plan that keeps an SLO."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.planning.find import MINIMISE, ask, title_of
from deploy.planning.page import plan_document, plan_page
from deploy.planning.plot import write_tries
from deploy.settings.options import TRACE_OPTIONS, Json, Told, setting_options, with_options
from deploy.terminal.output import say, tell
from scheduler.sources.traces.options import TraceOptions

app = typer.Typer(add_completion=False)

EXIT_NOT_MET: Final = 1

PLAN_SETTINGS: Final = (
    *("model", "policy", "admission", "order", "cache", "cache_plane", "site", "tariff", "price", "seed"),
    "calibration",
)

Trace = Annotated[
    str, typer.Argument(metavar="TRACE", help="Trace file or workload; or rate=R,prompt=TOKENS,output=TOKENS.")
]
Clusters = Annotated[str | None, typer.Option(metavar="NAME,..", help="Hardware profiles; cloudmatrix384.")]
Slo = Annotated[str, typer.Option(metavar="LIMITS", help="Such as ttft=2s,tpot=50ms; mlperf-server, -interactive.")]
Attainment = Annotated[float, typer.Option(metavar="SHARE", help="Share of requests that must meet it.")]
Goal = Annotated[str, typer.Option("--minimise", metavar="WHAT", help=f"One of {', '.join(MINIMISE)}.")]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time; as many as processors by default.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Write a page with all plans that were tried.")]


@app.command()
@with_options(told=setting_options(PLAN_SETTINGS), rows=TRACE_OPTIONS)
def plan(
    trace: Trace,
    told: Told,
    rows: TraceOptions,
    slo: Slo,
    cluster: Clusters = None,
    attainment: Attainment = 0.99,
    minimise: Goal = MINIMISE[0],
    jobs: Jobs = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """Find the smallest split of a cluster, or of several, that serves a trace within limits, and how sure that is."""
    clusters = (cluster or "cloudmatrix384").split(",")
    planned = ask(told, rows, trace, slo, clusters, attainment, minimise, jobs)
    title = title_of(planned, trace, attainment)
    if json:
        say(json_text.dumps(plan_document(planned, attainment), indent=2) + "\n")
    else:
        say(plan_page(planned, title, attainment))
    if out is not None:
        tell(f"wrote {write_tries(Path(out), planned, title, attainment)}")
    return 0 if planned.best is not None else EXIT_NOT_MET

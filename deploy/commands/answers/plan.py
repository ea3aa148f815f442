"""`supernode plan TRACE`: the smallest plan that keeps an SLO."""

from __future__ import annotations

import json as json_text
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from deploy.compare.measure import RunProcesses
from deploy.hardware.notes import tell_notes
from deploy.planning.demand import Demand, demand_of
from deploy.planning.load_text import is_load, workload_of
from deploy.planning.page import plan_document, plan_page
from deploy.planning.planner import Minimise, Planned, Planner, Question
from deploy.planning.plot import write_tries
from deploy.planning.presets import limits
from deploy.planning.shapes import Shape, shapes_of
from deploy.settings.options import TRACE_OPTIONS, Json, Told, for_run, setting_options, with_options
from deploy.settings.settings import Settings
from deploy.settings.shipped_examples import find_input
from deploy.terminal.output import say, tell
from deploy.terminal.progress import progress
from scheduler.core.config import CacheMode
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions

app = typer.Typer(add_completion=False)

EXIT_NOT_MET: Final = 1
MINIMISE: Final = ("npus", "joules", "dollars")

PLAN_SETTINGS: Final = (
    *("model", "policy", "admission", "order", "cache", "cache_plane", "site", "tariff", "price", "seed"),
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
    _check(attainment, minimise, jobs)
    every = [_settings(told, name, slo) for name in (cluster or "cloudmatrix384").split(",")]
    tell_notes(every[0].hardware.model)
    with _trace(trace) as path:
        options = for_run(rows, every[0], path)
        if options.links:
            raise ConfigError("clients that wait keep no rate to plan for: give --sessions open")
        planned = _planned(every, path, options, attainment, cast(Minimise, minimise), jobs)
    return _present(planned, trace, attainment, out, as_json=json)


def _check(attainment: float, minimise: str, jobs: int | None) -> None:
    if not 0 < attainment <= 1:
        raise ConfigError(f"--attainment is {attainment:g}; give a share above 0, at most 1")
    if minimise not in MINIMISE:
        raise ConfigError(f"--minimise is {minimise}; give {' or '.join(MINIMISE)}")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give a number of runs, at least 1")


def _settings(told: Told, cluster: str, slo: str) -> Settings:
    first = Told(told.path, {**told.flags, "cluster": cluster}).load()
    return Told(told.path, {**told.flags, "cluster": cluster, "slo": limits(slo, str(first.flat["model"]))}).load()


@contextmanager
def _trace(text: str) -> Generator[str]:
    if is_load(text):
        with workload_of(text) as path:
            yield path
    else:
        yield find_input(text)


def _planned(
    every: Sequence[Settings],
    trace: str,
    options: TraceOptions,
    attainment: float,
    minimise: Minimise,
    jobs: int | None,
) -> Planned:
    demand = demand_of(trace, options, attainment, has_cache=every[0].cache.mode is not CacheMode.NONE)
    shapes = _shapes(every, demand)
    question = Question(trace, options, demand.num_requests, attainment, minimise)
    with RunProcesses(jobs or os.cpu_count() or 1) as processes:
        planner = Planner(question, processes)
        if processes.num == 1:  # each replay shows its own progress
            return planner.plan(shapes)
        with progress("planning", lambda: (processes.num_done, None), "replays"):
            return planner.plan(shapes)


def _shapes(every: Sequence[Settings], demand: Demand) -> list[Shape]:
    """Of all clusters; one that cannot do is told, and is an error if it is the only one."""
    found: list[Shape] = []
    errors: list[ConfigError] = []
    for settings in every:
        slo = settings.requests.slo
        assert slo is not None  # it has no default
        try:
            found += shapes_of(settings, demand, slo)
        except ConfigError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    for error in errors:
        tell(f"left out: {error}")
    return found


def _present(planned: Planned, trace: str, attainment: float, out: str | None, *, as_json: bool) -> int:
    shown = planned.best or planned.nearest
    settings = shown.shape.settings.flat
    title = f"{trace}: {settings['model']}, SLO {settings['slo']} for {attainment:.2%}"
    if as_json:
        say(json_text.dumps(plan_document(planned, attainment), indent=2) + "\n")
    else:
        say(plan_page(planned, title, attainment))
    if out is not None:
        tell(f"wrote {write_tries(Path(out), planned, title)}")
    return 0 if planned.best is not None else EXIT_NOT_MET

"""`supernode replay TRACE`: the main job."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from deploy.config import load_config
from deploy.replay import ReplayJob, ReplayResult, replay_virtual, write_result
from scheduler.gateway.readers.options import TraceOptions
from scheduler.metrics.bounds import Bound, parse_bound
from scheduler.metrics.table import render
from scheduler.protocol.errors import ConfigError

app = typer.Typer(add_completion=False)

EXIT_BOUND_BROKEN = 1
EXIT_INTERRUPTED = 130

Trace = Annotated[str, typer.Argument(metavar="TRACE", help="Trace file, workload .yaml or ServeGen folder.")]
Live = Annotated[bool, typer.Option("--live", help="Run on a local Ray cluster instead of the virtual clock.")]
Speed = Annotated[float | None, typer.Option(metavar="N", help="Live: emulated seconds per wall second.")]
Config = Annotated[str | None, typer.Option(metavar="FILE", help="YAML file with any of the settings below.")]
Cluster = Annotated[str | None, typer.Option(metavar="NAME", help="Hardware profile.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="Served model.")]
PlanText = Annotated[str | None, typer.Option(metavar="PLAN", help="Instances, such as 14x16p+1x160d+48c.")]
Policy = Annotated[str | None, typer.Option(metavar="NAME", help="Routing policy.")]
Cache = Annotated[str | None, typer.Option(metavar="MODE", help="Prefix KV cache: pool, local or none.")]
CachePlane = Annotated[str | None, typer.Option(metavar="PLANE", help="Plane of cache traffic: ub or vpc.")]
SloText = Annotated[str | None, typer.Option("--slo", metavar="LIMITS", help="Such as ttft=2s,tpot=50ms.")]
Seed = Annotated[int | None, typer.Option(metavar="N", help="Seed of every random stream.")]
Limit = Annotated[int | None, typer.Option(metavar="N", help="Read only the first N rows.")]
Superpose = Annotated[int, typer.Option(metavar="N", help="Lay N shifted copies over each other.")]
RateScale = Annotated[float, typer.Option(metavar="X", help="Multiply the arrival rate.")]
Format = Annotated[str | None, typer.Option(metavar="NAME", help="Trace format, if it cannot be told.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, count and list them.")]
Journal = Annotated[str | None, typer.Option(metavar="FILE", help="Record everything the scheduler is told.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Write summary.json and requests.csv.")]
FailIf = Annotated[list[str] | None, typer.Option("--fail-if", metavar="BOUND", help="Exit 1 if 'PATH<VALUE' holds.")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]


@app.command()
def replay(
    trace: Trace,
    live: Live = False,
    speed: Speed = None,
    config: Config = None,
    cluster: Cluster = None,
    model: Model = None,
    plan: PlanText = None,
    policy: Policy = None,
    cache: Cache = None,
    cache_plane: CachePlane = None,
    slo: SloText = None,
    seed: Seed = None,
    limit: Limit = None,
    superpose: Superpose = 1,
    rate_scale: RateScale = 1.0,
    format: Format = None,
    skip_bad: SkipBad = False,
    journal: Journal = None,
    out: Out = None,
    bounds: FailIf = None,
    json: Json = False,
) -> int:
    """Replay a trace on an emulated supernode and print what came of it."""
    flags = {
        "cluster": cluster,
        "model": model,
        "plan": plan,
        "policy": policy,
        "cache": cache,
        "cache_plane": cache_plane,
        "slo": slo,
        "seed": seed,
    }
    parsed = [parse_bound(text) for text in bounds or []]
    settings = load_config(config, flags)
    options = TraceOptions(limit, superpose, rate_scale, settings.seed, skip_bad, format)
    job = ReplayJob(trace, options, settings, journal)
    if live:
        from deploy.live_replay import replay_live

        result = replay_live(job, speed=1.0 if speed is None else speed)
    elif speed is not None:
        raise ConfigError("--speed is for --live; the virtual clock always runs as fast as it can: leave one out")
    else:
        result = replay_virtual(job)
    return _present(result, out, parsed, as_json=json)


def _present(result: ReplayResult, out: str | None, bounds: list[Bound], *, as_json: bool) -> int:
    """Print the result and answer the exit code."""
    from json import dumps

    document: dict[str, Any] = {**result.summary.to_json(), "partial": result.is_partial}
    for note in result.notes:
        sys.stderr.write(f"{note}\n")
    if out is not None:
        write_result(out, result, document)
    sys.stdout.write(dumps(document, indent=2) + "\n" if as_json else render(result.summary, result.title))
    if result.is_partial:
        return EXIT_INTERRUPTED
    broken = [bound for bound in bounds if bound.is_broken(document)]
    for bound in broken:
        sys.stderr.write(f"bound broken: {bound.text}\n")
    return EXIT_BOUND_BROKEN if broken else 0

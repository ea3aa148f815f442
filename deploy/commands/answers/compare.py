"""`supernode compare`: one trace on several clusters or under several policies, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from deploy.compare.comparison import Compared, compare
from deploy.compare.electricity import break_even
from deploy.compare.page import comparison_page
from deploy.compare.sizing import Sizing, size
from deploy.compare.sizing_page import sizing_block, sizing_document
from deploy.compare.variants import variants_of
from deploy.hardware.notes import tell_notes
from deploy.regret.counterfactuals import Sampling
from deploy.regret.page import regret_block
from deploy.regret.regret import DEFAULT_HORIZON, Regret, check_regret, regrets_of
from deploy.run.collecting import clients_of_run
from deploy.run.replay import empty_document
from deploy.settings.clients import refuse_idle_flags
from deploy.settings.options import TRACE_OPTIONS, FailIf, Json, Told, for_run, setting_options, with_options
from deploy.settings.settings import Settings
from deploy.settings.shipped_examples import find_input
from deploy.statistics.seeds import check_seeds, seeds_shape
from deploy.statistics.seeds_page import seeds_block
from deploy.statistics.verdicts_page import verdicts_block
from deploy.terminal.output import say, tell
from scheduler.metrics.bounds import Bound, parse_bound
from scheduler.protocol.errors import ConfigError
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.rows import shorten

app = typer.Typer(add_completion=False)

EXIT_BOUND_BROKEN: Final = 1

EQUAL_GOODPUT: Final = "equal-goodput"
SIZES: Final = ("one-each", EQUAL_GOODPUT)

Clusters = Annotated[list[str] | None, typer.Argument(metavar="[CLUSTER...]", help="Hardware profiles to compare.")]
Trace = Annotated[str, typer.Option(metavar="TRACE", help="Trace file, workload .yaml or ServeGen folder.")]
Policies = Annotated[str | None, typer.Option(metavar="A,B,C", help="Routing policies to compare.")]
Plans = Annotated[
    list[str] | None, typer.Option("--plan", metavar="PLAN", help="Instances; may be given several times.")
]
Goodput = Annotated[bool, typer.Option("--goodput", help="Search the largest rate at which the SLO is attained.")]
SizeMode = Annotated[str, typer.Option("--size", metavar="HOW", help="Compare one-each, or fleets of equal-goodput.")]
Attainment = Annotated[float, typer.Option(metavar="SHARE", help="Share of requests that must meet the SLO.")]
Seeds = Annotated[int | None, typer.Option(metavar="N", help="Run N seeds of each: means and 95 % intervals.")]
RegretOf = Annotated[
    int | None, typer.Option("--regret", metavar="N", help="Try other choices at N decisions of each: what they cost.")
]
Horizon = Annotated[
    int | None, typer.Option(metavar="N", help="Requests over which --regret counts costs; 100 by default.")
]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time; as many as processors by default.")]


COMPARE_SETTINGS: Final = (
    *("model", "calibration", "admission", "order", "classes", "cache", "cache_plane", "slo", "seed"),
    *("concurrency", "think_time", "ramp", "sessions", "warmup"),
)


@app.command()
@with_options(told=setting_options(COMPARE_SETTINGS), rows=TRACE_OPTIONS)
def command(
    trace: Trace,
    told: Told,
    rows: TraceOptions,
    clusters: Clusters = None,
    policy: Policies = None,
    plan: Plans = None,
    goodput: Goodput = False,
    size_mode: SizeMode = SIZES[0],
    attainment: Attainment = 0.9,
    jobs: Jobs = None,
    seeds: Seeds = None,
    regret: RegretOf = None,
    horizon: Horizon = None,
    bounds: FailIf = None,
    json: Json = False,
) -> int:
    """Replay one trace on several clusters or under several policies and put the results side by side."""
    parsed = [parse_bound(text) for text in bounds or []]
    variants = variants_of(clusters or [], _split(policy), told.path, told.flags, plan or [])
    settings = variants[0].settings
    is_sized = _is_sized(size_mode, len(variants))
    if (goodput or is_sized) and settings.requests.slo is None:
        asked = f"--size {size_mode}" if is_sized else "--goodput"
        raise ConfigError(f"{asked} needs limits to attain: give --slo ttft=2s,tpot=50ms or your own")
    refuse_idle_flags(told.flags, settings.clients)
    if not 0 < attainment <= 1:
        raise ConfigError(f"--attainment is {attainment:g}; give a share above 0, at most 1")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give a number of runs, at least 1")
    all_seeds = check_seeds(seeds, settings.run.seed)
    path = find_input(trace)
    options = for_run(rows, settings, path)
    groups = clients_of_run(settings, path, options)
    if (goodput or is_sized) and groups:
        asked = f"--size {size_mode}" if is_sized else "--goodput"
        raise ConfigError(f"{asked} searches a rate, and clients that wait keep none: leave {asked} or the clients out")
    check_regret(regret, horizon, waits=bool(groups) or options.links)
    _refuse_unknown_paths(parsed, settings, all_seeds, groups=groups, waits=options.links)
    tell_notes(settings.hardware.model)
    compared = compare(variants, path, options, attainment if goodput or is_sized else None, jobs, all_seeds)
    sizing = size(compared, path, options, jobs) if is_sized else None
    samplings = [
        Sampling(path, options, one.settings, regret or 0, horizon or DEFAULT_HORIZON)
        for one in variants
        if regret is not None
    ]
    regrets = regrets_of(samplings, jobs) if samplings else []
    return _present(compared, trace, sizing, regrets, bounds=parsed, as_json=json)


def _refuse_unknown_paths(
    bounds: list[Bound], settings: Settings, seeds: list[int], *, groups: Sequence[ClientGroup], waits: bool
) -> None:
    """After many runs it would be late to learn of a slip of the pen."""
    for bound in bounds:
        if bound.path.startswith("goodput."):
            continue
        document = {"run": empty_document(settings, live=False, groups=groups, waits=waits)}
        if len(seeds) > 1:
            document["seeds"] = seeds_shape(seeds, document["run"])
        bound.value_in(document)


def _is_sized(mode: str, num_variants: int) -> bool:
    if mode not in SIZES:
        raise ConfigError(f"--size is {shorten(mode)}; give {' or '.join(SIZES)}")
    if mode == EQUAL_GOODPUT and num_variants < 2:
        raise ConfigError(f"--size {mode} sizes others to the first of several; name two clusters or policies at least")
    return mode == EQUAL_GOODPUT


def _split(names: str | None) -> list[str]:
    """Policies at commas, but for those commas that part options of one: what has no name before its `=` is one."""
    found: list[str] = []
    for part in names.split(",") if names is not None else []:
        name, equals, _ = part.partition("=")
        if found and equals and ":" not in name:
            found[-1] += f",{part.strip()}"
        else:
            found.append(part.strip())
    return found


def _present(
    compared: list[Compared],
    trace: str,
    sizing: Sizing | None,
    regrets: Sequence[Regret],
    bounds: list[Bound],
    *,
    as_json: bool,
) -> int:
    from json import dumps

    variants = [one.to_json() for one in compared]
    for variant, one in zip(variants, regrets, strict=False):  # none, or one for each
        variant["regret"] = one.to_json()
    document: dict[str, Any] = {"trace": trace, "variants": variants, "break_even_usd_per_kwh": break_even(compared)}
    if sizing is not None:
        document["sizing"] = sizing_document(sizing)
    for line in compared[0].measured.trace_warnings:  # all variants have the same trace
        tell(line)
    told = [(*one.measured.policy_warnings, *one.measured.quality_warnings) for one in compared]
    of_all = [line for line in told[0] if all(line in lines for lines in told)]
    for line in of_all:
        tell(line)
    for one, lines in zip(compared, told, strict=True):
        for line in lines:
            if line not in of_all:
                tell(f"{one.variant.name}: {line}")
    if as_json:
        say(dumps(document, indent=2) + "\n")
    else:
        clusters = {node.name: node for one in compared for node in one.variant.settings.hardware.supernodes}
        say(comparison_page(compared, list(clusters.values()), _title(compared, trace)))
        if compared[0].intervals:
            runs = [(one.variant.name, one.intervals) for one in compared]
            say("\n" + seeds_block(runs, len(compared[0].seeds)) + "\n")
        judged = [(one.variant.name, one.verdicts) for one in compared if one.verdicts is not None]
        if judged:
            say("\n" + verdicts_block(judged, len(compared[0].seeds)) + "\n")
        if regrets:
            say("\n" + regret_block([(one.variant.name, of) for one, of in zip(compared, regrets, strict=True)]) + "\n")
        if sizing is not None:
            say("\n" + sizing_block(sizing))
    by_name = {one.variant.name: one.to_json() for one in compared}
    broken = [(bound.text, name) for bound in bounds for name, one in by_name.items() if bound.is_broken(one)]
    for text, name in broken:
        tell(f"bound broken: {text} for {name}")
    return EXIT_BOUND_BROKEN if broken else 0


def _title(compared: list[Compared], trace: str) -> str:
    flat = compared[0].variant.settings.flat
    slo = f", SLO {flat['slo']}" if flat["slo"] else ""
    runs = f"{len(compared)} runs of {compared[0].measured.document['requests']['arrived']:,} requests"
    return f"{trace}: {runs}, {flat['model']}{slo}"

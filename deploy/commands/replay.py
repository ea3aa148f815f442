"""`supernode replay TRACE`: the main job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from deploy.commands.existing_cluster import EXISTING_OPTIONS, ExistingFlags
from deploy.hardware.notes import tell_notes
from deploy.run.collecting import clients_of_run, expected_clients
from deploy.run.replay import SUMMARY_NAME, ReplayJob, ReplayResult, empty_document, replay_virtual
from deploy.run_folder import LOG_NAMES
from deploy.settings.clients import refuse_idle_flags
from deploy.settings.load import CODE
from deploy.settings.options import TRACE_OPTIONS, FailIf, Json, Told, for_run, setting_options, with_options
from deploy.settings.settings import SETTINGS, Settings
from deploy.settings.shipped_examples import find_input
from deploy.terminal.output import say, tell
from scheduler.core.config import CacheMode
from scheduler.metrics.records import FILE_NAME
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions

# A virtual run looks for no cluster, and mostly for no faults.
if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.cluster.existing.spec import ExistingSpec
    from deploy.cluster.state import ClusterState
    from deploy.http_client.result import ClientResult
    from deploy.run.openmetrics import ScrapeJob
    from deploy.statistics.seeds import SeveralSeeds
    from scheduler.metrics.bounds import Bound
    from scheduler.sources.clients.groups import ClientGroup
    from scheduler.sources.faults import FaultPlan

app = typer.Typer(add_completion=False)

EXIT_BOUND_BROKEN = 1
EXIT_INTERRUPTED = 130

MIN_SPEED = 0.001
MAX_SPEED = 1000.0
"""Beyond it one hop of a millisecond takes longer, in emulated time, than a prompt's prefill."""

Trace = Annotated[str, typer.Argument(metavar="TRACE", help="Trace file, workload .yaml or ServeGen folder.")]
Live = Annotated[bool, typer.Option("--live", help="Run on the local Ray cluster instead of the virtual clock.")]
Speed = Annotated[float | None, typer.Option(metavar="N", help="Live: emulated seconds per wall second.")]
Via = Annotated[str | None, typer.Option(metavar="WAY", help="Live: http, as a client of the OpenAI interface.")]
Faults = Annotated[str | None, typer.Option(metavar="FILE", help="Parts of the fabric that break, in YAML.")]
Journal = Annotated[str | None, typer.Option(metavar="FILE", help="Record everything the scheduler is told.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Write a run folder, for report and explain.")]
OpenMetrics = Annotated[str | None, typer.Option("--openmetrics", metavar="FILE", help="Write simulated scrapes.")]
StartTime = Annotated[str | None, typer.Option(metavar="TIME", help="Clock zero of --openmetrics.")]
ScrapeInterval = Annotated[float | None, typer.Option(metavar="S", help="Simulated seconds between scrapes (15).")]

Seeds = Annotated[int | None, typer.Option(metavar="N", help="Run N seeds: mean and 95 % interval of each figure.")]

REPLAY_SETTINGS = [name for name, one in SETTINGS.items() if one.flag is not None and name != "names"]
"""A replay has no metrics of its own but those of --openmetrics, whose names a file may choose."""


@app.command(epilog=f"Settings of --config FILE: {', '.join(name for name in SETTINGS if name != CODE)}.")
@with_options(told=setting_options(REPLAY_SETTINGS), rows=TRACE_OPTIONS, existing=EXISTING_OPTIONS)
def replay(
    context: typer.Context,
    trace: Trace,
    told: Told,
    rows: TraceOptions,
    existing: ExistingFlags,
    live: Live = False,
    speed: Speed = None,
    via: Via = None,
    faults: Faults = None,
    journal: Journal = None,
    out: Out = None,
    openmetrics: OpenMetrics = None,
    start_time: StartTime = None,
    scrape_interval: ScrapeInterval = None,
    seeds: Seeds = None,
    bounds: FailIf = None,
    json: Json = False,
) -> int:
    """Replay a trace on an emulated supernode and print what came of it."""
    if via is not None:
        _refuse_via(via, speed, {"--faults": faults, "--journal": journal}, live=live)
    joins = existing.spec_of_replay(via, {"--journal": journal}, live=live)
    parsed, cluster_up = _parse_bounds(bounds), _find_cluster() if live and joins is None else None
    settings = _settings(told, cluster_up)
    tell_notes(settings.hardware.model)
    _refuse_contradictions(settings, told, speed, live=live)
    all_seeds = _all_seeds(seeds, settings, live=live, files=(out, journal, openmetrics))
    trace = find_input(trace)
    options = for_run(rows, settings, trace)
    if parsed:
        groups = clients_of_run(settings, trace, options)
        shape = _empty_document(settings, live=live, via=via, groups=groups, waits=options.links)
        _refuse_unknown_paths(parsed, shape, all_seeds)
    scrapes = _scrapes(openmetrics, start_time, scrape_interval, live=live)
    _try_places({"--journal": journal, "--openmetrics": openmetrics}, out, inputs=(trace, told.path, faults))
    broken = _read_faults(faults, settings, live=live)
    job = ReplayJob(trace, options, settings, journal, broken, keeps_log=out is not None, scrapes=scrapes)
    result = _replay_live(job, speed, via, cluster_up, joins) if live else replay_virtual(job)
    several = None if seeds is None or result.is_partial else _run_seeds(job, result.document(), all_seeds)
    return _present(result, out, parsed, several, [*context.command_path.split(), *(context.obj or ())], as_json=json)


def _parse_bounds(texts: list[str] | None) -> list[Bound]:
    if not texts:
        return []
    from scheduler.metrics.bounds import parse_bound

    return [parse_bound(text) for text in texts]


def _settings(told: Told, cluster: ClusterState | None) -> Settings:
    """On a cluster that is up, what it was brought up with holds unless the flags say otherwise."""
    if cluster is None:
        return told.load()
    from deploy.cluster.standing import refuse_other_fleet

    settings = told.load(cluster.config)
    refuse_other_fleet(cluster, settings)
    return settings


def _replay_live(
    job: ReplayJob, speed: float | None, via: str | None, cluster: ClusterState | None, existing: ExistingSpec | None
) -> ReplayResult | ClientResult:
    if via is not None:
        from deploy.http_client.replay import replay_http

        return replay_http(job, cluster)
    from deploy.live.replay import replay_live

    return replay_live(job, speed=1.0 if speed is None else speed, cluster=cluster, existing=existing)


def _find_cluster() -> ClusterState | None:
    from deploy.cluster.standing import find_cluster

    return find_cluster()


def _read_faults(path: str | None, settings: Settings, *, live: bool) -> FaultPlan | None:
    """Held against the cluster's fabric and the workers; a run without faults pays for none of it."""
    if path is None:
        return None
    from deploy.faults.file import read_faults
    from deploy.faults.parts import fabric_parts
    from deploy.faults.workers import losable_workers

    parts = fabric_parts(settings.hardware)
    return read_faults(path, parts, losable_workers(settings, live=live))


def _refuse_via(via: str, speed: float | None, others: dict[str, str | None], *, live: bool) -> None:
    """What an outside client is not, and cannot do."""
    if via != "http":
        raise ConfigError(f"--via: unknown way {via!r}; known: http")
    if not live:
        raise ConfigError("--via http asks a cluster that runs in real time: add --live, or leave it out")
    if speed not in (None, 1.0):
        raise ConfigError(
            f"--speed {speed:g}: clients over HTTP live in real time, at speed 1; leave out --speed or --via"
        )
    for flag, value in others.items():
        if value is not None:
            raise ConfigError(f"{flag} is not in the hands of a client: leave out {flag} or --via http")


def _refuse_contradictions(settings: Settings, told: Told, speed: float | None, *, live: bool) -> None:
    """A flag that would do nothing is a misunderstanding; the same in a file is a default that waits for its use."""
    if speed is not None and not live:
        raise ConfigError("--speed is for --live; the virtual clock always runs as fast as it can: leave one out")
    if speed is not None and not MIN_SPEED <= speed <= MAX_SPEED:
        raise ConfigError(f"--speed is {speed:g}; give a number from {MIN_SPEED:g} to {MAX_SPEED:g}")
    refuse_idle_flags(told.flags, settings.clients)
    if told.flags["cache_plane"] is not None and settings.cache.mode is not CacheMode.POOL:
        plane, mode = told.flags["cache_plane"], settings.cache.mode.value
        raise ConfigError(
            f"--cache-plane {plane}: nothing flows on it with cache {mode}; leave it out or use --cache pool"
        )


def _all_seeds(num: int | None, settings: Settings, *, live: bool, files: tuple[str | None, ...]) -> list[int]:
    """Of one run, or of several."""
    if num is None:
        return [settings.run.seed]
    if live or any(files):
        raise ConfigError("--seeds runs on the virtual clock and writes no files: leave out --live and outputs")
    from deploy.statistics.seeds import check_seeds

    return check_seeds(num, settings.run.seed)


def _run_seeds(job: ReplayJob, first: dict[str, Any], seeds: list[int]) -> SeveralSeeds:
    """The other seeds beside the first, in processes of their own."""
    from deploy.compare.measure import in_processes, measure
    from deploy.statistics.seeds import SeveralSeeds, intervals_of

    jobs = [
        replace(job, settings=job.settings.changed(seed=seed), options=replace(job.options, seed=seed))
        for seed in seeds[1:]
    ]
    others = in_processes(measure, jobs, "other seeds")
    return SeveralSeeds(seeds, intervals_of([first, *(one.document for one in others)]))


def _empty_document(
    settings: Settings, *, live: bool, via: str | None, groups: Sequence[ClientGroup], waits: bool
) -> dict[str, Any]:
    if via is None:
        return empty_document(settings, live=live, groups=groups, waits=waits)
    from deploy.http_client.replay import empty_client_document

    return empty_client_document(settings, expected_clients(groups, waits=waits))


def _refuse_unknown_paths(bounds: list[Bound], document: dict[str, Any], seeds: list[int]) -> None:
    """Before the run: after an hour it would be late to learn of a slip of the pen."""
    if len(seeds) > 1:
        from deploy.statistics.seeds import seeds_shape

        document["seeds"] = seeds_shape(seeds, document)
    for bound in bounds:
        bound.value_in(document)


def _scrapes(path: str | None, start_time: str | None, interval_s: float | None, *, live: bool) -> ScrapeJob | None:
    if path is None:
        if start_time is not None or interval_s is not None:
            raise ConfigError("--start-time and --scrape-interval are for --openmetrics: add it, or leave them out")
        return None
    if live:
        raise ConfigError("--openmetrics is for the virtual clock; a live cluster is scraped: leave one out")
    from deploy.run.openmetrics import scrape_job

    return scrape_job(path, start_time, interval_s)


def _try_places(files: dict[str, str | None], out: str | None, inputs: tuple[str | None, ...]) -> None:
    """Before the run as well: its result must not be lost for want of a place."""
    if out is None and not any(path is not None for path in files.values()):
        return
    from deploy.terminal.paths import check_file, check_folder

    read = [path for path in inputs if path is not None]
    for flag, path in files.items():
        if path is not None:
            check_file(flag, path, read)
    if out is not None:
        check_folder("--out", out, (SUMMARY_NAME, FILE_NAME, *LOG_NAMES))


def _present(
    result: ReplayResult | ClientResult,
    out: str | None,
    bounds: list[Bound],
    several: SeveralSeeds | None,
    command: list[str],
    *,
    as_json: bool,
) -> int:
    """Print the result and return the exit code."""
    from json import dumps

    document = result.document()
    if several is not None:
        from deploy.statistics.seeds import seeds_document

        document["seeds"] = seeds_document(several.seeds, several.intervals)
    for warning in result.warnings:
        tell(warning)
    try:
        if out is not None:
            result.write(out, document, command)
    finally:  # a disk that is full takes the files, not the result
        say(dumps(document, indent=2) + "\n" if as_json else _page(result, several))
    if result.is_partial:
        return EXIT_INTERRUPTED
    broken = [bound for bound in bounds if bound.is_broken(document)]
    for bound in broken:
        tell(f"bound broken: {bound.text}")
    return EXIT_BOUND_BROKEN if broken else 0


def _page(result: ReplayResult | ClientResult, several: SeveralSeeds | None) -> str:
    page = result.page()
    if several is None:
        return page
    from deploy.statistics.seeds_page import seeds_block

    return f"{page}\n{seeds_block([('mean', several.intervals)], len(several.seeds))}\n"

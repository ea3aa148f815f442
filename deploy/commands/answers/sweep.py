"""`supernode sweep FILE`: many runs of one trace over a space of settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from deploy.commands.existing_cluster import Ship
from deploy.settings.options import FailIf, Json
from deploy.settings.shipped_examples import find_input
from deploy.statistics.seeds import seeds_document
from deploy.sweep.front import Point, front, objectives_of, points_of
from deploy.sweep.page import sweep_page
from deploy.sweep.plot import write_sweep_page
from deploy.sweep.runs import Run, file_digest, runs_of
from deploy.sweep.space import Objective, Parameters, Space, read_space
from deploy.sweep.store import Store
from deploy.terminal.output import say, tell
from deploy.terminal.progress import progress
from scheduler.metrics.bounds import Bound, parse_bound
from scheduler.protocol.errors import ConfigError
from workers.ray_shell.identity import identity

app = typer.Typer(add_completion=False)

EXIT_BOUND_BROKEN: Final = 1
COUNTS: Final = ("points", "runs", "failed")
"""What bounds may be set on."""

File = Annotated[str, typer.Argument(metavar="FILE", help="YAML file: trace, settings, and what to vary.")]
Out = Annotated[str | None, typer.Option(metavar="DIR", help="Where results are kept; FILE without its ending.")]
Address = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Ray cluster to run on instead of here.")]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Runs at a time here; as many as processors by default.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Make runs again that failed.")]


@app.command()
def sweep(
    file: File,
    out: Out = None,
    address: Address = None,
    ship: Ship = False,
    jobs: Jobs = None,
    retry_failed: RetryFailed = False,
    bounds: FailIf = None,
    json: Json = False,
) -> int:
    """Replay one trace over a grid or a sample of settings, as Ray tasks; what is done is kept, and not done again."""
    parsed = _bounds(bounds)
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give a number of runs, at least 1")
    if jobs is not None and address is not None:
        raise ConfigError("--jobs is for a node here; a cluster at an --address has its own processors: leave one out")
    if ship and address is None:
        raise ConfigError("--ship sends this program to a cluster: add its --address, or leave it out")
    space = read_space(file)
    trace = find_input(space.trace)
    points = space.points()
    digest = file_digest(trace)
    runs = runs_of(space, points, trace, f"{digest} {[code for _, code in identity().values()]}")
    folder = Path(out) if out is not None else Path(file).with_suffix("")
    results = _results(runs, Store(folder), trace, digest, address, jobs, ships=ship, retry_failed=retry_failed)
    return _present(space, points, runs, results, folder, parsed, as_json=json)


def _bounds(texts: list[str] | None) -> list[Bound]:
    bounds = [parse_bound(text) for text in texts or []]
    for bound in bounds:
        bound.value_in(dict.fromkeys(COUNTS, 0))
    return bounds


def _results(
    runs: Sequence[Run],
    store: Store,
    trace: str,
    digest: str,
    address: str | None,
    jobs: int | None,
    *,
    ships: bool,
    retry_failed: bool,
) -> dict[str, Mapping[str, Any]]:
    """By the name of a run: those that were kept, and those made now."""
    results: dict[str, Mapping[str, Any]] = {}
    for run in runs:
        result = {"error": run.error} if run.error else store.get(run)
        if result is not None and not (retry_failed and "error" in result and not run.error):
            results[run.name] = result
    num_kept = sum(run.name in results and not run.error for run in runs)
    if num_kept:
        tell(f"{num_kept:,} of {len(runs):,} runs are there already")
    # Runs of one name have one result.
    missing = list({run.name: run for run in runs if run.name not in results}.values())
    if missing:
        from deploy.sweep.tasks import cluster, do  # Ray takes seconds to start, and all may be there

        def keep(run: Run, result: dict[str, Any]) -> None:
            store.put(run, result)
            results[run.name] = result

        done = len(results)
        with (
            cluster(address, min(len(missing), jobs or os.cpu_count() or 1), ships=ships) as num_at_a_time,
            progress("sweeping", lambda: (len(results) - done, len(missing)), "runs"),
        ):
            do(missing, trace, digest, num_at_a_time, keep)
    return results


def _present(
    space: Space,
    parameters: Sequence[Parameters],
    runs: Sequence[Run],
    results: Mapping[str, Mapping[str, Any]],
    folder: Path,
    bounds: Sequence[Bound],
    *,
    as_json: bool,
) -> int:
    points = points_of(parameters, runs, results)
    objectives = objectives_of(points, space.objectives)
    _refuse_unknown(points, objectives)
    on_front = front(points, objectives)
    num_failed = sum("error" in results[run.name] for run in runs)
    counts = {"points": len(points), "runs": len(runs), "failed": num_failed}
    failed = f", {num_failed:,} failed" if num_failed else ""
    title = f"{space.trace}: {len(points):,} points, {len(runs):,} runs{failed}"
    page = write_sweep_page(folder, points, objectives, on_front, title)
    if as_json:
        document = {"trace": space.trace, **counts, "objectives": [one.path for one in objectives]}
        listed = [_point(point, space, is_on_front=at in set(on_front)) for at, point in enumerate(points)]
        say(json.dumps({**document, "results": listed}, indent=2) + "\n")
    else:
        say(sweep_page(points, objectives, on_front, title))
    tell(f"wrote {page}")
    broken = [bound for bound in bounds if bound.is_broken(counts)]
    for bound in broken:
        tell(f"bound broken: {bound.text}")
    return EXIT_BOUND_BROKEN if broken else 0


def _refuse_unknown(points: Sequence[Point], objectives: Sequence[Objective]) -> None:
    """A path that no run has is a slip, or asks for what was not asked for, such as an SLO."""
    done = [point for point in points if not point.errors]
    for one in objectives:
        if done and all(point.figure(one.path) is None for point in done):
            raise ConfigError(f"objective {one.path}: no run has it; results are kept, mend the file and run it again")


def _point(point: Point, space: Space, *, is_on_front: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"parameters": dict(point.parameters), "on_front": is_on_front}
    if point.errors:
        return {**told, "errors": list(point.errors)}
    seeds = {"seeds": seeds_document(range(space.num_seeds), point.intervals)} if point.intervals else {}
    return {**told, "num_npus": point.num_npus, **seeds, "run": dict(point.document)}

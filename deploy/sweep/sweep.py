"""The sweep itself: what is kept is taken, the rest is run, and the points that no other beats are found."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from deploy.settings.shipped_examples import find_input
from deploy.statistics.seeds import seeds_document
from deploy.sweep.front import Point, front, objectives_of, points_of
from deploy.sweep.runs import Run, file_digest, runs_of
from deploy.sweep.space import Objective, Space, read_space
from deploy.sweep.store import Store
from deploy.terminal.output import tell
from deploy.terminal.progress import progress
from scheduler.protocol.errors import ConfigError
from workers.ray_shell.identity import identity


class Swept(Struct, frozen=True):
    """What came of a sweep; `on_front` are indices of `points`, and results are kept in `folder`."""

    space: Space
    points: Sequence[Point]
    objectives: Sequence[Objective]
    on_front: Sequence[int]
    num_runs: int
    num_failed: int
    folder: Path

    @property
    def title(self) -> str:
        """What was run, in one line."""
        failed = f", {self.num_failed:,} failed" if self.num_failed else ""
        return f"{self.space.trace}: {len(self.points):,} points, {self.num_runs:,} runs{failed}"

    @property
    def counts(self) -> dict[str, int]:
        """What bounds may be set on."""
        return {"points": len(self.points), "runs": self.num_runs, "failed": self.num_failed}

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the whole JSON of each point's run."""
        document = {
            "trace": self.space.trace,
            **self.counts,
            "objectives": [one.path for one in self.objectives],
        }
        on_front = set(self.on_front)
        return {
            **document,
            "results": [_point(one, self.space, is_on_front=at in on_front) for at, one in enumerate(self.points)],
        }


def sweep(
    file: str,
    out: str | None = None,
    address: str | None = None,
    jobs: int | None = None,
    *,
    ships: bool = False,
    retry_failed: bool = False,
) -> Swept:
    """Run what a file asks for, on a Ray node of this process or on the cluster at an `address`, to which this program
    is sent if it `ships`. `ConfigError` for what no point of it can be run with."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give a number of runs, at least 1")
    if jobs is not None and address is not None:
        raise ConfigError("--jobs is for a node here; a cluster at an --address has its own processors: leave one out")
    if ships and address is None:
        raise ConfigError("--ship sends this program to a cluster: add its --address, or leave it out")
    space = read_space(file)
    trace = find_input(space.trace)
    parameters = space.points()
    digest = file_digest(trace)
    runs = runs_of(space, parameters, trace, f"{digest} {[code for _, code in identity().values()]}")
    folder = Path(out) if out is not None else Path(file).with_suffix("")
    results = _results(runs, Store(folder), trace, digest, address, jobs, ships=ships, retry_failed=retry_failed)
    points = points_of(parameters, runs, results)
    objectives = objectives_of(points, space.objectives)
    _refuse_unknown(points, objectives)
    num_failed = sum("error" in results[run.name] for run in runs)
    return Swept(space, points, objectives, front(points, objectives), len(runs), num_failed, folder)


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

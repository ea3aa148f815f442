"""The planner asked as a user asks: in words and files."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, cast

from deploy.compare.measure import RunProcesses
from deploy.hardware.notes import tell_notes
from deploy.planning.demand import Demand, demand_of
from deploy.planning.load_text import is_load, workload_of
from deploy.planning.planner import Minimise, Planned, Planner, Question
from deploy.planning.presets import limits
from deploy.planning.shapes import Shape, shapes_of
from deploy.settings.options import Told, for_run
from deploy.settings.settings import Settings
from deploy.settings.shipped_examples import find_input
from deploy.terminal.output import tell
from deploy.terminal.progress import progress
from scheduler.core.config import CacheMode
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions

MINIMISE: Final = ("npus", "joules", "dollars")


def ask(
    told: Told,
    rows: TraceOptions,
    trace: str,
    slo: str,
    clusters: Sequence[str],
    attainment: float,
    minimise: str,
    jobs: int | None,
) -> Planned:
    """The plan of these clusters that is smallest by what is to be `minimise`d, with `jobs` replays at a time."""
    _check(attainment, minimise, jobs)
    every = [_settings(told, name, slo) for name in clusters]
    tell_notes(every[0].hardware.model)
    with _trace(trace) as path:
        options = for_run(rows, every[0], path)
        if options.links:
            raise ConfigError("clients that wait keep no rate to plan for: give --sessions open")
        return _planned(every, path, options, attainment, cast(Minimise, minimise), jobs)


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

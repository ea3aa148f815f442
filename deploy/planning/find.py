"""A question in, its answer out: what the command and the function for Python both call."""

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


def find_plan(
    trace: str,
    rows: TraceOptions,
    every: Sequence[Settings],
    *,
    attainment: float = 0.99,
    minimise: str = MINIMISE[0],
    jobs: int | None = None,
) -> Planned:
    """The smallest plan with which this share of a trace's requests meets the SLO of `every`, the same settings on one
    cluster or on several. `trace` may be a load (`load_text`). `ConfigError` for a question that has no answer."""
    _check(attainment, minimise, jobs)
    with _path_of(trace) as path:
        options = for_run(rows, every[0], path)
        if options.links:
            raise ConfigError("clients that wait keep no rate to plan for: give --sessions open")
        demand = demand_of(path, options, attainment, has_cache=every[0].cache.mode is not CacheMode.NONE)
        shapes = _shapes(every, demand)
        question = Question(path, options, demand.num_requests, attainment, cast("Minimise", minimise))
        with RunProcesses(jobs or os.cpu_count() or 1) as processes:
            planner = Planner(question, processes)
            if processes.num == 1:  # each replay shows its own progress
                return planner.plan(shapes)
            with progress("planning", planner.effort.read, "requests (estimated)"):
                return planner.plan(shapes)


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
    """`find_plan` as a user asks: settings as they were told, on each of these clusters, `slo` may be a preset."""
    every = [_settings(told, name, slo) for name in clusters]
    tell_notes(every[0].hardware.model)
    return find_plan(trace, rows, every, attainment=attainment, minimise=minimise, jobs=jobs)


def _settings(told: Told, cluster: str, slo: str) -> Settings:
    first = Told(told.path, {**told.flags, "cluster": cluster}).load()
    return Told(told.path, {**told.flags, "cluster": cluster, "slo": limits(slo, str(first.flat["model"]))}).load()


def title_of(planned: Planned, trace: str, attainment: float) -> str:
    """What was asked, in a line."""
    settings = (planned.best or planned.nearest).shape.settings.flat
    return f"{trace}: {settings['model']}, SLO {settings['slo']} for {attainment:.2%}"


def _check(attainment: float, minimise: str, jobs: int | None) -> None:
    if not 0 < attainment <= 1:
        raise ConfigError(f"--attainment is {attainment:g}; give a share above 0, at most 1")
    if minimise not in MINIMISE:
        raise ConfigError(f"--minimise is {minimise}; give {' or '.join(MINIMISE)}")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs is {jobs}; give a number of runs, at least 1")


@contextmanager
def _path_of(text: str) -> Generator[str]:
    if is_load(text):
        with workload_of(text) as path:
            yield path
    else:
        yield find_input(text)


def _shapes(every: Sequence[Settings], demand: Demand) -> list[Shape]:
    """Of all clusters; one that cannot do is told, and is an error if it is the only one."""
    found: list[Shape] = []
    errors: list[ConfigError] = []
    for settings in every:
        slo = settings.requests.slo
        if slo is None:
            raise ConfigError("a plan is found for limits: give --slo, such as ttft=2s,tpot=50ms")
        try:
            found += shapes_of(settings, demand, slo)
        except ConfigError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    for error in errors:
        tell(f"left out: {error}")
    return found

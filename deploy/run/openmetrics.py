"""`replay --openmetrics FILE`: the series of a live system, of a run on the virtual clock, for a Prometheus to load."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from msgspec import Struct

from deploy.system.blueprint import Blueprint
from deploy.system.metric_layout import metric_layout
from deploy.system.metric_names import names_shown
from scheduler.core.scheduler import Scheduler
from scheduler.metrics.export.names.schemes import OWN
from scheduler.metrics.export.simulated_scrapes import SimulatedScrapes
from scheduler.metrics.layout import Layout
from scheduler.metrics.live.totals import LiveTotals
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.errors import ConfigError
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import trace_start_ns

DEFAULT_INTERVAL_S: Final = 15.0
"""Simulated seconds between two samples: the usual scrape interval of Prometheus."""

MIN_INTERVAL_S: Final = 0.001
MAX_INTERVAL_S: Final = 86_400.0

NS_PER_S: Final = 1_000_000_000
MAX_START_S: Final = 4_102_444_800
"""The year 2100: beyond it a number of seconds is a number of milliseconds by mistake."""

DEFAULT_START_S: Final = 1_735_689_600
"""2025-01-01T00:00:00Z, for a trace that does not say when it began."""


class ScrapeJob(Struct, frozen=True):
    """What to write: a sample of each series every `interval_ns`, clock zero at `start_ns` in Unix time (None: the
    trace's own, or `DEFAULT_START_S`)."""

    path: str
    interval_ns: int
    start_ns: int | None


def scrape_job(path: str, start_time: str | None, interval_s: float | None) -> ScrapeJob:
    """From the options as they were given; ConfigError for what cannot be used."""
    seconds = DEFAULT_INTERVAL_S if interval_s is None else interval_s
    if not MIN_INTERVAL_S <= seconds <= MAX_INTERVAL_S:
        raise ConfigError(
            f"--scrape-interval is {seconds:g}; give seconds from {MIN_INTERVAL_S:g} to {MAX_INTERVAL_S:g}"
        )
    return ScrapeJob(path, round(seconds * NS_PER_S), None if start_time is None else _start_ns(start_time))


def _start_ns(text: str) -> int:
    fix = "give a time from 1970 to 2100, such as 2025-01-01T00:00:00Z, or seconds since 1970"
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigError(f"--start-time {text!r} is no time; {fix}") from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0 <= seconds <= MAX_START_S:
        raise ConfigError(f"--start-time {text!r} is out of range; {fix}")
    return round(seconds * NS_PER_S)


class ScrapedRun:
    """Listens to a core, gives a runtime its observer, and writes the file when the run has ended well."""

    def __init__(self, job: ScrapeJob, start_ns: int, blueprint: Blueprint, core: Scheduler, folder: Path) -> None:
        layout = _layout(blueprint)
        self._job = job
        self._totals = LiveTotals(layout)
        # On its own clock a simulated second takes a second.
        requests = blueprint.settings.requests
        self._totals.begin(
            core.table,
            speed=1.0,
            slo=requests.judged_slo,
            power_cap_w=blueprint.settings.power.cap_w or 0.0,
            errors=core.routing.prediction_errors,
            concurrency=dict(blueprint.settings.clients.concurrency),
            fleet=core,
            autoscaler=blueprint.settings.scaling.autoscaler.name,
        )
        core.add_guest(self._totals)
        core.state.decision_logs.append(self._totals.decisions)
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        metered = [*blueprint.pools, *(spec.address for spec in blueprint.instances)]
        self.observer: Final = SimulatedScrapes(self._totals, layout, metered, job.interval_ns, start_ns, self._spool)

    def write(self, ended_ns: int) -> None:
        """All is accounted for: the last sample, and the file, which appears whole or not at all."""
        self.observer.end(ended_ns)
        partial = Path(f"{self._job.path}.partial")
        try:
            with partial.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(self.observer.texts())
            os.replace(partial, self._job.path)
        finally:
            partial.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the spool."""
        self._spool.close()


@contextmanager
def scraped(
    job: ScrapeJob, trace: str, options: TraceOptions, blueprint: Blueprint, core: Scheduler
) -> Generator[ScrapedRun]:
    """A run that is scraped; the file is written by whoever runs it."""
    start_ns = job.start_ns
    if start_ns is None:
        start_ns = trace_start_ns(trace, options)
    run = ScrapedRun(
        job, DEFAULT_START_S * NS_PER_S if start_ns is None else start_ns, blueprint, core, Path(job.path).parent
    )
    try:
        yield run
    finally:
        run.close()


def _layout(blueprint: Blueprint) -> Layout:
    """As a live system has it: a process for each instance, and one for fabric and cache pools. Names of others, many
    times as many series, are only in the file if somebody chose them."""
    addresses = blueprint.worker_addresses
    network = tuple(address for address in addresses if address in (FABRIC_ADDRESS, *blueprint.pools))
    hosts = {"network": network} | {address: (address,) for address in addresses if address not in network}
    chosen = blueprint.settings.run.metric_names
    return metric_layout(blueprint, hosts, names_shown(chosen, *blueprint.supernodes) if chosen else (OWN,))

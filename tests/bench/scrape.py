"""What looking at a live system costs its control plane: CPU time of the tap, of a snapshot and of a scrape."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from msgspec.structs import replace

from deploy.live.shown import GZIP_LEVEL, metrics_text
from deploy.live.telemetry import TelemetrySpec
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.metrics.export.registry import process_registry
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.snapshot import Snapshot
from scheduler.protocol.messages import Message
from scheduler.runtime.clock import NS_PER_S
from scheduler.runtime.virtual import VirtualRuntime
from scheduler.sources.trace_source import TraceSource
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from tests.tap import Tap

TRACE: Final = "examples/demo.jsonl"
REPORT_INTERVAL_NS: Final = 20_000_000
ROUNDS: Final = 30


@dataclass(frozen=True, slots=True)
class ScrapeCost:
    """Medians, but for the slowest snapshot. `num_bytes` of the page, `packed_bytes` with gzip."""

    tap_us: float
    snapshot_ms: float
    slowest_snapshot_ms: float
    render_ms: float
    gzip_ms: float
    num_samples: int
    num_bytes: int
    packed_bytes: int


class _Watch:
    """Taps of a run: takes a snapshot each emulated second, as the control plane would, and times itself."""

    def __init__(self, totals: LiveTotals) -> None:
        self.snapshot_ns: list[int] = []
        self.tap_ns = self.num_messages = 0
        self.latest: Snapshot = totals.snapshot()
        self._totals = totals
        self._due_ns = 0

    def observe(self, now_ns: int, message: Message) -> None:
        """Look if it is time, then pass the message on."""
        started_ns = time.process_time_ns()
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + NS_PER_S
            self.latest = self._totals.snapshot(now_ns)
            self.snapshot_ns.append(time.process_time_ns() - started_ns)
            started_ns = time.process_time_ns()
        self._totals.before(now_ns, message)
        self.tap_ns += time.process_time_ns() - started_ns
        self.num_messages += 1


def scrape_cost(names: tuple[str, ...]) -> ScrapeCost:
    """Replays the demo on 384 NPUs, reporting as often as it would live, and asks for the page at its end.

    `names` are the naming schemes of the page.
    """
    trace = open_trace(TRACE, options=TraceOptions())
    blueprint = Blueprint(Settings.from_plain({}), trace.block_tokens)
    core = blueprint.make_core()
    hosts = {address: (address,) for address in blueprint.worker_addresses}
    layout = replace(TelemetrySpec.of(blueprint, hosts, port=0).layout, names=names)
    totals = LiveTotals(layout)
    totals.begin(core.table, 1.0)
    watch = _Watch(totals)
    workers = [blueprint.make_worker(address, REPORT_INTERVAL_NS) for address in blueprint.worker_addresses]
    core.add_guest(Tap(watch.observe))
    VirtualRuntime([TraceSource(trace), core, *workers], core.address).run()
    process = process_registry()
    text = metrics_text(watch.latest, process, openmetrics=False)
    packed = gzip.compress(text.encode(), GZIP_LEVEL)
    return ScrapeCost(
        watch.tap_ns / watch.num_messages / 1e3,
        median(watch.snapshot_ns) / 1e6,
        max(watch.snapshot_ns) / 1e6,
        _cpu_ms(lambda: metrics_text(watch.latest, process, openmetrics=False)),
        _cpu_ms(lambda: gzip.compress(text.encode(), GZIP_LEVEL)),
        sum(not line.startswith("#") for line in text.splitlines()),
        len(text),
        len(packed),
    )


def _cpu_ms(work: Callable[[], object]) -> float:
    taken_ns: list[int] = []
    for _ in range(ROUNDS):
        started_ns = time.process_time_ns()
        work()
        taken_ns.append(time.process_time_ns() - started_ns)
    return median(taken_ns) / 1e6

"""What a run leaves for its folder, besides summary and records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from deploy.system.blueprint import Blueprint
    from scheduler.metrics.outcome.collector import Collector
    from scheduler.metrics.outcome.decisions import RunDecisions
    from scheduler.sources.traces.options import TraceOptions


class RunLog(Struct, frozen=True):
    """The logs of a run that has ended, and what it was made from; `trace_path` is the trace as it was given."""

    trace_name: str
    trace_path: str
    options: TraceOptions
    blueprint: Blueprint
    collector: Collector
    decided: RunDecisions

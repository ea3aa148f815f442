"""What a run leaves for its folder, besides summary and records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.blueprint import Blueprint
    from scheduler.gateway.readers.options import TraceOptions
    from scheduler.metrics.collector import Collector
    from scheduler.metrics.decisions import DecisionLog


@dataclass(frozen=True, slots=True)
class RunLog:
    """The logs of a run that has ended, and what it was made from; `trace_path` is the trace as it was given."""

    trace_name: str
    trace_path: str
    options: TraceOptions
    blueprint: Blueprint
    collector: Collector
    decided: DecisionLog

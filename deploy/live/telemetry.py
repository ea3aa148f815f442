"""What a standing cluster shows of itself: totals over all its runs, and the endpoint that serves them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from deploy.live.exporter import Exporter
from deploy.live.session import Session
from deploy.live.shown import Page
from deploy.system.blueprint import Blueprint
from deploy.system.metric_layout import metric_layout
from deploy.system.metric_names import names_shown
from scheduler.metrics.layout import Layout
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.subject import RunOutcome
from scheduler.runtime.clock import monotonic_s


class TelemetrySpec(Struct, frozen=True):
    """What is watched, as plain data, and the port on 127.0.0.1 where it can be seen; 0 takes any free one."""

    layout: Layout
    port: int

    @classmethod
    def of(cls, blueprint: Blueprint, hosts: Mapping[str, tuple[str, ...]], port: int) -> TelemetrySpec:
        """All instances of a plan; `hosts` are the addresses on each host."""
        chosen = blueprint.settings.run.metric_names
        return cls(metric_layout(blueprint, hosts, names_shown(chosen, *blueprint.supernodes)), port)


class Telemetry:
    """`begin` and `end` enclose each session; between them the totals are a guest of its core."""

    def __init__(self, spec: TelemetrySpec) -> None:
        self._totals = LiveTotals(spec.layout)
        self._exporter = Exporter(self._totals.snapshot(), port=spec.port)
        self._session: Session | None = None

    @property
    def address(self) -> str:
        """HOST:PORT of the endpoint."""
        return self._exporter.address

    def page(self, path: str, accept: str) -> Page:
        """What the endpoint answers to a path."""
        return self._exporter.page(path, accept)

    def begin(self, session: Session, *, is_replay: bool) -> None:
        """A session's clock starts."""
        runtime = session.runtime
        assert runtime is not None
        self._session = session
        parts, speed = session.parts, session.run_spec.speed
        self._totals.begin(
            parts.core.table,
            speed,
            runtime.lateness,
            is_replay=is_replay,
            slo=parts.slo,
            power_cap_w=parts.power_cap_w,
            concurrency=parts.concurrency,
            errors=None if parts.scheduler is None else parts.scheduler.routing.prediction_errors,
            fleet=parts.scheduler,
            autoscaler=parts.autoscaler,
        )
        if parts.scheduler is not None:
            parts.scheduler.add_guest(self._totals)
            parts.scheduler.state.decision_logs.append(self._totals.decisions)

    def end(self, outcome: RunOutcome) -> None:
        """It is over."""
        self._totals.end(outcome)
        self._session = None

    def publish(self, phase: dict[str, Any]) -> None:
        """Show how it stands now; `phase` says what the control plane does."""
        now_ns = 0 if self._session is None else self._session.now_ns()
        self._exporter.publish(self._totals.snapshot(now_ns), {**phase, "published_monotonic_s": monotonic_s()})

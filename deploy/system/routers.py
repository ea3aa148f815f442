"""Who chooses instances, as settings have it."""

from __future__ import annotations

from deploy.settings.settings import Settings
from scheduler.policies.view import PolicyContext, RoutingPolicy, StageKind
from scheduler.runtime.random_streams import stream_on_demand


def make_policies(settings: Settings, replica: int = 0) -> tuple[RoutingPolicy, RoutingPolicy]:
    """Of the prefill and the decode stage, for one of several routers; each has a stream of chance of its own."""
    return _make(settings, StageKind.PREFILL, replica), _make(settings, StageKind.DECODE, replica)


def _make(settings: Settings, stage: StageKind, replica: int) -> RoutingPolicy:
    name = f"policy {stage.value} {replica}" if replica else f"policy {stage.value}"
    return settings.routing.policy.make(PolicyContext(stage, stream_on_demand(settings.run.seed, name)))

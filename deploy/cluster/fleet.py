"""What the keeper hands to the control plane at its start: hosts, the idle run between replays, metrics."""

from __future__ import annotations

from deploy.live.actors import HostPlan
from deploy.live.control_plane import FleetSpec
from deploy.live.parts import idle_run
from deploy.live.telemetry import TelemetrySpec
from deploy.system.blueprint import Blueprint


def fleet_spec(blueprint: Blueprint, hosts: list[HostPlan], metered: list[str], metrics_port: int) -> FleetSpec:
    """The fleet of a plan."""
    addresses = {host.name: host.addresses for host in hosts}
    return FleetSpec(
        addresses, metered, idle_run(blueprint.settings), TelemetrySpec.of(blueprint, addresses, metrics_port)
    )

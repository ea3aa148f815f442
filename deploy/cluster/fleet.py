"""What the control plane of a standing cluster is told: its hosts, what it does between replays, what it shows."""

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

"""What the keeper hands to the control plane at its start: hosts, the idle run between replays, metrics."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.admin.spec import AdminSpec
from deploy.http.spec import BLOCK_TOKENS, HttpSpec
from deploy.live.actors import HostPlan
from deploy.live.fleet_spec import FleetSpec
from deploy.live.parts import idle_run
from deploy.live.telemetry import TelemetrySpec
from deploy.system.blueprint import Blueprint
from workers.ray_shell.placement_watch import PlacedHost


def fleet_spec(
    blueprint: Blueprint,
    hosts: list[HostPlan],
    metered: list[str],
    metrics_port: int,
    http: HttpSpec | None = None,
    admin: AdminSpec | None = None,
    placed: dict[str, PlacedHost] | None = None,
) -> FleetSpec:
    """The fleet of a plan; with `http` it serves clients, with `admin` its operator's programs. Hosts that are `placed`
    are on several nodes."""
    addresses = {host.name: host.addresses for host in hosts}
    telemetry = TelemetrySpec.of(blueprint, addresses, metrics_port)
    settings = blueprint.settings
    if http is None:
        return FleetSpec(addresses, metered, idle_run(settings), telemetry, admin=admin, placed=placed or {})
    served = replace(
        http,
        model=str(settings.flat["model"]),
        max_context_tokens=blueprint.max_prompt_tokens + 1,
        seed=settings.run.seed,
        class_names=tuple(settings.requests.class_names[1:]),
    )
    return FleetSpec(addresses, metered, idle_run(settings, BLOCK_TOKENS), telemetry, served, admin, placed or {})

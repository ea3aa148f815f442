"""What a control plane is handed, and what it gives back of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from deploy.admin.spec import AdminSpec
from deploy.http.spec import HttpSpec
from deploy.live.session import RunSpec
from deploy.live.telemetry import TelemetrySpec
from scheduler.runtime.live import LiveEnd
from workers.ray_shell.placement_watch import PlacedHost


class FleetSpec(Struct, frozen=True):
    """The hosts that a control plane commands: name -> addresses of the components on it.

    With `idle` that run goes whenever no other does, so that the fleet always has a present. With `telemetry` the
    control plane answers scrapes, with `http` requests of clients, which the idle run serves, with `admin` operations.
    Hosts that are `placed` may lose a node and wait for room on another.
    """

    hosts: dict[str, tuple[str, ...]]
    metered: list[str] = field(default_factory=list[str])
    idle: RunSpec | None = None
    telemetry: TelemetrySpec | None = None
    http: HttpSpec | None = None
    admin: AdminSpec | None = None
    placed: dict[str, PlacedHost] = field(default_factory=dict[str, PlacedHost])

    def at(self, addresses: Mapping[str, str]) -> FleetSpec:
        """The same, with all that it serves where it was found to listen."""
        spec = self
        if spec.telemetry is not None:
            port = int(addresses["metrics"].rpartition(":")[2])
            spec = replace(spec, telemetry=replace(spec.telemetry, port=port))
        if spec.admin is not None:
            spec = replace(spec, admin=spec.admin.at(addresses["admin"]))
        return spec if spec.http is None else replace(spec, http=spec.http.at(addresses["http"]))


class LiveOutcome(Struct, frozen=True):
    """How a live run ended, and what its control plane kept: the objects that a virtual run leaves in its process."""

    end: LiveEnd
    kept: Any
    run_s: float
    """Wall seconds from clock zero to the end."""

"""The flags of commands that can work on an existing Ray cluster; what they mean is read when there is an --address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from msgspec import Struct

from deploy.settings.options import OptionGroup
from scheduler.protocol.errors import ConfigError

# A virtual run knows no cluster.
if TYPE_CHECKING:
    from deploy.cluster.existing.spec import ExistingSpec

Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="An existing Ray cluster: also ray://HOST:PORT, or auto.")
]
PlacementName = Annotated[
    str | None, typer.Option(metavar="HOW", help="With --address: pack, spread, strict_pack or strict_spread.")
]
NpuResource = Annotated[
    str | None, typer.Option(metavar="NAME[=X]", help="With --address: what an emulated NPU takes (NPU=1).")
]
MaxClockSkew = Annotated[
    str | None, typer.Option(metavar="TIME", help="With --address: how far clocks may be apart (20ms).")
]
Ship = Annotated[bool, typer.Option("--ship", help="With --address: send this program to the nodes.")]


class ExistingFlags(Struct, frozen=True):
    """As the command line gives them; `spec` makes sense of them."""

    address: str | None = None
    placement: str | None = None
    npu_resource: str | None = None
    max_clock_skew: str | None = None
    ship: bool = False

    def spec(self) -> ExistingSpec | None:
        """None without --address. `ConfigError` that names the flag."""
        others = {
            "placement": self.placement,
            "npu_resource": self.npu_resource,
            "max_clock_skew": self.max_clock_skew,
        }
        told = {name: value for name, value in others.items() if value is not None}
        if self.address is None:
            if not told and not self.ship:
                return None
            flag = next(iter(told), "ship").replace("_", "-")
            raise ConfigError(f"--{flag} is for an existing Ray cluster: add its --address, or leave it out")
        from deploy.cluster.existing.spec import existing_spec

        return existing_spec(self.address, **told, ships=self.ship)

    def spec_of_replay(self, via: str | None, files: Mapping[str, str | None], *, live: bool) -> ExistingSpec | None:
        """The same, of a replay; `ConfigError` for what one on an existing cluster is not, and cannot do: `files` are
        written where its control plane is."""
        spec = self.spec()
        if spec is None:
            return None
        if not live:
            raise ConfigError("--address is for a replay on a Ray cluster: add --live, or leave it out")
        if via is not None:
            raise ConfigError(
                f"--via {via} asks a cluster that serves: 'supernode up --address {spec.address} --http', then leave "
                "out --address here"
            )
        for flag, path in files.items():
            if path is not None and spec.is_client:
                raise ConfigError(f"{flag} would be written on the cluster's head node: leave it out, or run there")
        return spec


def _make(given: dict[str, Any]) -> ExistingFlags:
    return ExistingFlags(**given)


EXISTING_OPTIONS: Final = OptionGroup(
    {
        "address": (Address, None),
        "placement": (PlacementName, None),
        "npu_resource": (NpuResource, None),
        "max_clock_skew": (MaxClockSkew, None),
        "ship": (Ship, False),
    },
    _make,
)
"""Makes `ExistingFlags`."""

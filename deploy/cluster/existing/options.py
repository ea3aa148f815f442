"""The flags of commands that can work on an existing Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from deploy.cluster.existing.spec import ExistingSpec, existing_spec
from deploy.settings.options import OptionGroup
from scheduler.protocol.errors import ConfigError

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


def refuse_existing(spec: ExistingSpec, via: str | None, files: Mapping[str, str | None], *, live: bool) -> None:
    """`ConfigError` for what a replay on an existing cluster is not, and cannot do; `files` are written where its
    control plane is."""
    if not live:
        raise ConfigError("--address is for a replay on a Ray cluster: add --live, or leave it out")
    if via is not None:
        raise ConfigError(
            f"--via {via} asks a cluster that serves: 'supernode up --address {spec.address} --http', then leave out "
            "--address here"
        )
    for flag, path in files.items():
        if path is not None and spec.is_client:
            raise ConfigError(f"{flag} would be written on the cluster's head node: leave it out, or run there")


def _make(given: dict[str, Any]) -> ExistingSpec | None:
    address, ships = given.pop("address"), given.pop("ship")
    told = {name: value for name, value in given.items() if value is not None}
    if address is not None:
        return existing_spec(address, **_renamed(told), ships=ships)
    if ships or told:
        flag = "ship" if ships else next(iter(told)).replace("_", "-")
        raise ConfigError(f"--{flag} is for an existing Ray cluster: add its --address, or leave it out")
    return None


def _renamed(told: dict[str, str]) -> dict[str, str]:
    return {"max_skew" if name == "max_clock_skew" else name: value for name, value in told.items()}


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
"""Makes an `ExistingSpec`, or None without --address."""

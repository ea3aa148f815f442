"""What a user says of an existing Ray cluster: where it is, and what an emulated NPU takes of it."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, cast, get_args

from msgspec import Struct

from scheduler.protocol.catalog import unknown
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import read_quantity

Placement = Literal["pack", "spread", "strict_pack", "strict_spread"]
"""How the bundles of an instance lie on nodes; see Ray's placement strategies."""

CLIENT_SCHEME: Final = "ray://"

NODE_NPUS: Final = 8
"""NPUs of an emulated node, and so of a bundle: a CloudMatrix 384 node has 8, as has a common GPU server."""

MAX_SKEW_S: Final = 0.02
"""Wall seconds that clocks of nodes may be apart: what NTP keeps with ease, and the time after which reports go out."""

UNFIT: Final = ("GPU", "memory", "object_store_memory")
"""Resources of Ray that are not for emulated NPUs."""

_RESOURCE: Final = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)(?:=(?P<amount>[0-9.]+))?")
_ADDRESS: Final = re.compile(r"auto|(?:ray://)?(?:[\w.-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")


class ExistingSpec(Struct, frozen=True):
    """An existing Ray cluster as it is to be used; plain data."""

    address: str
    """HOST:PORT, ray://HOST:PORT or auto."""
    placement: Placement = "pack"
    resource: str = "NPU"
    """The Ray resource that an emulated NPU takes."""
    amount: float = 1.0
    """How much of it."""
    ships: bool = False
    """Whether our program is sent to the nodes, which else have it installed."""
    max_skew_s: float = MAX_SKEW_S

    @property
    def is_client(self) -> bool:
        """Whether it is spoken to through Ray's client server, from a machine that is none of its nodes."""
        return self.address.startswith(CLIENT_SCHEME)


def existing_spec(
    address: str,
    placement: str = "pack",
    npu_resource: str = "NPU",
    max_clock_skew: str = "20ms",
    *,
    ships: bool = False,
) -> ExistingSpec:
    """From the flags; `ConfigError` that names the flag."""
    if not _ADDRESS.fullmatch(address):
        raise ConfigError(f"--address {address}: give HOST:PORT of the head node, ray://HOST:PORT or auto")
    if placement not in get_args(Placement):
        raise ConfigError(f"--placement: {unknown('placement', placement, get_args(Placement))}")
    matched = _RESOURCE.fullmatch(npu_resource)
    amount = _amount(matched["amount"]) if matched else math.nan
    if matched is None or not amount > 0:
        raise ConfigError(f"--npu-resource {npu_resource}: give NAME, or NAME=AMOUNT for one NPU, such as CPU=0.05")
    if matched["name"] in UNFIT:
        raise ConfigError(f"--npu-resource {npu_resource}: take CPU or a custom resource, not {matched['name']}")
    max_skew_s = read_quantity(max_clock_skew, "s", needs_unit=True)
    if not max_skew_s > 0:
        raise ConfigError(f"--max-clock-skew {max_clock_skew}: give a time above zero, such as 20ms")
    return ExistingSpec(address, cast(Placement, placement), matched["name"], amount, ships, max_skew_s)


def _amount(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return math.nan

"""The parts of a cluster's fabric that can break: names, how many there are, and what is lost with some of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from msgspec import Struct

from deploy.settings.models import Hardware
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_parts import TITLES, PartKind, count_kinds, kind_of
from sim_hw.clusters.supernode import Supernode
from sim_hw.network.lines import FleetLines, LineEnd
from sim_hw.planes import Plane

_ENDS: Final = (LineEnd.UB_DIE, LineEnd.RDMA_DIE, LineEnd.VPC_NODE)
"""Whose lines together are the capacity of a plane."""


class KindLoss(Struct, frozen=True):
    """Parts of a kind that are broken, of all that there are."""

    kind: PartKind
    num_broken: int
    num_parts: int

    @property
    def text(self) -> str:
        """Such as `1 of 112 L2 switches`."""
        return f"{self.num_broken:,} of {self.num_parts:,} {TITLES[self.kind][self.num_parts != 1]}"


class FabricParts:
    """What can break of the fabric of these supernodes. `ConfigError` if the profile of one does not add up."""

    def __init__(self, *supernodes: Supernode) -> None:
        self._lines = FleetLines(supernodes)
        try:
            self._parts = sorted(self._lines.parts)
        except ValueError as error:
            raise ConfigError(str(error)) from None

    def named(self, part: str) -> str:
        """The name of a part as the fabric knows it. Raises LookupError, with near names, if there is none."""
        return self._lines.named(part)

    def by_kind(self) -> dict[str, list[str]]:
        """All parts that there are, by the name of their kind."""
        found: dict[str, list[str]] = {}
        for part in self._parts:
            found.setdefault(kind_of(part).value, []).append(part)
        return found

    def broken_by_kind(self, broken: Collection[str]) -> list[KindLoss]:
        """How many are broken of the kinds of which any is."""
        there, gone = count_kinds(self._parts), count_kinds(broken)
        return [KindLoss(kind, count, there[kind]) for kind, count in gone.items() if count]

    def lost_share(self, broken: Sequence[str]) -> dict[Plane, float]:
        """Which share of what all lines of a plane carry together these parts take with them."""
        shares: dict[Plane, float] = {}
        for end in _ENDS:
            whole = float(self._lines.bytes_per_s(end).sum())
            left = float(self._lines.bytes_per_s(end, broken).sum())
            shares[end.plane] = (whole - left) / whole
        return shares


def fabric_parts(hardware: Hardware) -> FabricParts:
    """The parts of the fabric of all supernodes of a plan."""
    return FabricParts(*hardware.supernodes)


def named(names: Iterable[str], parts: FabricParts) -> list[str]:
    """Names as the fabric knows them, each once; a `ConfigError` for one that it does not."""
    try:
        return list(dict.fromkeys(parts.named(name) for name in names))
    except LookupError as error:
        raise ConfigError(error.args[0]) from None

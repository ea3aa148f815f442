"""The instances of a plan by name: what each does, its size, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from deploy.system.fabric import IN_ORDER, Placed
from scheduler.protocol.addresses import aggregated_address, decode_address, prefill_address


class Role(StrEnum):
    """What an instance does."""

    PREFILL = "prefill"
    DECODE = "decode"
    AGGREGATED = "aggregated"
    """Both, in the same steps."""


class InstanceSpec(Struct, frozen=True):
    """One instance of the plan, in one of its supernodes, or one that may be started beside it. `first_npu`: where
    instances come and go, the first of its NPUs, counted over all supernodes."""

    address: str
    role: Role
    num_npus: int
    supernode: int = 0
    first_npu: int = IN_ORDER


ADDRESSES: Final[Mapping[Role, Callable[[int], str]]] = {
    Role.PREFILL: prefill_address,
    Role.DECODE: decode_address,
    Role.AGGREGATED: aggregated_address,
}


def specs_of(role: Role, npus: Sequence[Sequence[int]]) -> list[InstanceSpec]:
    """All instances of a role, of which each supernode has some with so many NPUs each."""
    sizes = [(size, supernode) for supernode, of_supernode in enumerate(npus) for size in of_supernode]
    return [InstanceSpec(ADDRESSES[role](index), role, *spec) for index, spec in enumerate(sizes)]


def placed(specs: Sequence[InstanceSpec]) -> list[Placed]:
    """As the fabric knows them."""
    return [Placed(spec.address, spec.num_npus, spec.supernode, spec.first_npu) for spec in specs]

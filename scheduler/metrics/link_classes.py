"""The classes of links on which transfers leave and arrive: NPUs, cache pool, VPC cards of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scheduler.protocol.messages import Plane, TransferKind


@dataclass(frozen=True, slots=True)
class LinkClass:
    """All links of one sort in one direction on a plane, and what they carry."""

    plane: Plane
    name: str
    kinds: tuple[TransferKind, ...]


_KV_TRANSFER, _READ, _WRITE = TransferKind.KV_TRANSFER, TransferKind.CACHE_READ, TransferKind.CACHE_WRITE
_LOAD, _FETCH = TransferKind.MODEL_LOAD, TransferKind.MODEL_FETCH
_SSD_READ, _SSD_WRITE = TransferKind.CACHE_SSD_READ, TransferKind.CACHE_SSD_WRITE

LINK_CLASSES: Final = (
    LinkClass(Plane.UB, "npu_out", (_KV_TRANSFER, _WRITE)),
    LinkClass(Plane.UB, "npu_in", (_KV_TRANSFER, _READ, _LOAD, _FETCH)),
    LinkClass(Plane.UB, "pool_out", (_READ, _LOAD)),
    LinkClass(Plane.UB, "pool_in", (_WRITE,)),
    LinkClass(Plane.RDMA, "npu_out", (_KV_TRANSFER,)),
    LinkClass(Plane.RDMA, "npu_in", (_KV_TRANSFER,)),
    # Whatever moves over VPC leaves one node's card and arrives at another's, but for what the object store sends.
    LinkClass(Plane.VPC, "card_out", (_READ, _WRITE, _SSD_READ, _SSD_WRITE, _LOAD)),
    LinkClass(Plane.VPC, "card_in", (_READ, _WRITE, _SSD_READ, _SSD_WRITE, _LOAD, _FETCH)),
)
"""Those that any transfer uses."""

POOL_LINKS: Final = ("pool_out", "pool_in")
"""Those of the cache pool alone; all others are those of every end of their plane."""

"""What core and fabric say of data that moves; `messages.Message` lists all."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct


class Plane(IntEnum):
    """The three networks of a supernode (facts: CloudMatrix paper, arXiv 2506.12708 v2, section 3.2)."""

    UB = 0
    RDMA = 1
    VPC = 2


class TransferKind(IntEnum):
    """Why bytes move."""

    KV_TRANSFER = 0
    CACHE_READ = 1
    CACHE_WRITE = 2
    CACHE_SSD_READ = 3
    """Within a cache pool, from its SSD to its DRAM."""
    CACHE_SSD_WRITE = 4
    MODEL_LOAD = 5
    """Weights of a model, from a cache pool to an instance."""
    MODEL_FETCH = 6
    """Weights from the object store, or from the DRAM of the instance's own nodes."""


UNAWAITED: Final = (TransferKind.CACHE_WRITE, TransferKind.CACHE_SSD_WRITE)
"""Nobody waits for these."""


class StartTransfer(Struct, frozen=True, gc=False):
    """core -> fabric: move data between two components over one plane, as one transfer that ends as a whole.

    `num_tokens` by request; for a KV transfer `dies`, also by request, are those of the destination, else it is empty.
    `is_made`: all of the data is there. If not, the source still computes it layer by layer: all but the last layer's
    share may flow at once, and `FinishTransfer` or `CancelTransfer` follows. `made_ns`: since when it is there, if that
    matters: a transfer that is told late may begin as of a time before that. `give_up_ns`: if it has not ended by then,
    `TransferOverdue` ends it; 0 for no such time.
    """

    transfer_id: int
    kind: TransferKind
    plane: Plane
    source: str
    destination: str
    num_tokens: list[int]
    dies: list[int]
    is_made: bool
    made_ns: int = 0
    give_up_ns: int = 0


class FinishTransfer(Struct, frozen=True, gc=False):
    """core -> fabric: the source has computed the last layer of this transfer's data: the rest may flow."""

    transfer_id: int


class CancelTransfer(Struct, frozen=True, gc=False):
    """core -> fabric: nobody waits for this transfer any more: what is left of it need not flow, and its end is not
    told."""

    transfer_id: int


class TransferDone(Struct, frozen=True, gc=False):
    """fabric -> core: the last byte of a transfer arrived at `done_ns`.

    `duration_ns` counts from when all of its data was there: what was not hidden behind the pass that computed it;
    `hidden_ns` is for how long it had flowed before.
    """

    transfer_id: int
    kind: TransferKind
    plane: Plane
    done_ns: int
    num_bytes: int
    duration_ns: int
    hidden_ns: int


class TransferFailed(Struct, frozen=True, gc=False):
    """fabric -> core: no route is left between the ends of this transfer, which is given up; nothing of it counts as
    arrived."""

    transfer_id: int
    kind: TransferKind
    plane: Plane


class TransferOverdue(Struct, frozen=True, gc=False):
    """fabric -> core: this transfer has not ended by its `give_up_ns`; nothing of it counts as arrived."""

    transfer_id: int

"""What core and fabric say of data that moves; `messages.Message` lists all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final


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


@dataclass(slots=True)
class StartTransfer:
    """core -> fabric: move data between two components over one plane, as one transfer that ends as a whole.

    `num_tokens` by request; for a KV transfer `dies`, also by request, are those of the destination, else it is empty.
    `is_made`: all of the data is there. If not, the source still computes it layer by layer: all but the last layer's
    share may flow at once, and `FinishTransfer` or `CancelTransfer` follows. `made_ns`: since when it is there, if that
    matters: a transfer that is told late may begin as of a time before that. `give_up_ns`: if it has not ended by then,
    `TransferOverdue` ends it; 0 for no such time.
    """

    transfer_id: Final[int]
    kind: Final[TransferKind]
    plane: Final[Plane]
    source: Final[str]
    destination: Final[str]
    num_tokens: Final[list[int]]
    dies: Final[list[int]]
    is_made: Final[bool]
    made_ns: Final[int] = 0
    give_up_ns: Final[int] = 0


@dataclass(slots=True)
class FinishTransfer:
    """core -> fabric: the source has computed the last layer of this transfer's data: the rest may flow."""

    transfer_id: Final[int]


@dataclass(slots=True)
class CancelTransfer:
    """core -> fabric: nobody waits for this transfer any more: what is left of it need not flow, and its end is not
    told."""

    transfer_id: Final[int]


@dataclass(slots=True)
class TransferDone:
    """fabric -> core: the last byte of a transfer arrived at `done_ns`.

    `duration_ns` counts from when all of its data was there: what was not hidden behind the pass that computed it;
    `hidden_ns` is for how long it had flowed before.
    """

    transfer_id: Final[int]
    kind: Final[TransferKind]
    plane: Final[Plane]
    done_ns: Final[int]
    num_bytes: Final[int]
    duration_ns: Final[int]
    hidden_ns: Final[int]


@dataclass(slots=True)
class TransferFailed:
    """fabric -> core: no route is left between the ends of this transfer, which is given up; nothing of it counts as
    arrived."""

    transfer_id: Final[int]
    kind: Final[TransferKind]
    plane: Final[Plane]


@dataclass(slots=True)
class TransferOverdue:
    """fabric -> core: this transfer has not ended by its `give_up_ns`; nothing of it counts as arrived."""

    transfer_id: Final[int]

"""What a prefix cache tells of its blocks, and its form on the wire: that of vLLM's KV events.

Source: vllm-project/vllm, `vllm/distributed/kv_events.py`. Field names and order are theirs. vLLM wrote each event as
an array with its name first until 0.23, and as a map with its name as `type` since (its pull request 42892); both are
written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final, TypeAlias

from msgspec import Struct, msgpack
from msgspec.structs import asdict

MEDIUM: Final = "GPU"
"""What vLLM says of blocks in the memory that its engine computes in."""

RANK: Final = 0
"""Each engine is a server of its own, and so the first of one data-parallel rank."""


class BlockStored(Struct, array_like=True, tag=True, frozen=True):
    """Consecutive blocks of a chain that are new, and the block before them, None at the beginning of a prompt.

    `token_ids` are those of all of them, `block_size` each.
    """

    block_hashes: list[int]
    parent_block_hash: int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None = None
    medium: str | None = MEDIUM
    lora_name: str | None = None


class BlockRemoved(Struct, array_like=True, tag=True, frozen=True):
    """Blocks that are gone."""

    block_hashes: list[int]
    medium: str | None = MEDIUM


class AllBlocksCleared(Struct, array_like=True, tag=True, frozen=True):
    """No block is left."""


KvEvent: TypeAlias = BlockStored | BlockRemoved | AllBlocksCleared


class WireForm(StrEnum):
    """How an event is written."""

    ARRAY = "array"
    MAP = "map"


class BatchEncoder:
    """Batches as bytes: `[time in s since 1970, events, rank]`."""

    def __init__(self, form: WireForm) -> None:
        self._is_map: Final = form is WireForm.MAP
        self._encoder: Final = msgpack.Encoder()

    def encode(self, at_s: float, events: Sequence[KvEvent]) -> bytes:
        """One batch."""
        written: Sequence[Any] = [_as_map(event) for event in events] if self._is_map else events
        return self._encoder.encode((at_s, written, RANK))


def _as_map(event: KvEvent) -> dict[str, Any]:
    return {"type": type(event).__name__, **asdict(event)}

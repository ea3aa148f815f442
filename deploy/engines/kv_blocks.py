"""Blocks of prompts under the ids that the scheduler knows them by, and as events tell of them: hashes and tokens."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from deploy.engines.kv_events import AllBlocksCleared, BlockRemoved, BlockStored, KvEvent
from deploy.http.prompts import BLOCK_BYTES, BlockNumbers, Prompt
from deploy.http.spec import BLOCK_TOKENS

MAX_WAITING_BLOCKS: Final = 2**16
"""Blocks whose tokens are kept until they are stored, of 8 million tokens. One that was forgotten is not told of."""

_HASH_BYTES: Final = 8


class KvBlocks(BlockNumbers):
    """A `StoreListener` that makes events of what a store tells it, for `publish`.

    A block's hash is of its tokens and the hash of the block before it, so that all engines call it the same; at the
    beginning of a prompt stands its tenant. Only whole blocks are told of, as vLLM keeps only those.
    """

    def __init__(self, publish: Callable[[KvEvent], None]) -> None:
        super().__init__()
        self._publish: Final = publish
        self._tokens: dict[int, bytes] = {}
        self._hashes: dict[tuple[int, int], int] = {}

    def prefix(self, prompt: Prompt) -> list[int]:
        """As of any numbers of blocks; it keeps what their tokens are."""
        numbers = super().prefix(prompt)
        tokens = self._tokens
        for number, start in zip(numbers, range(0, len(prompt.data), BLOCK_BYTES), strict=True):
            block = prompt.data[start : start + BLOCK_BYTES]
            if len(block) == BLOCK_BYTES:
                tokens.pop(number, None)
                tokens[number] = block  # the last that was asked for
        while len(tokens) > MAX_WAITING_BLOCKS:
            del tokens[next(iter(tokens))]
        return numbers

    def stored(self, tenant: int, blocks: list[int], num_known: int) -> None:
        """See `StoreListener`."""
        hashes = self._hashes
        before = hashes.get((tenant, blocks[num_known - 1])) if num_known else None
        if num_known and before is None:
            return  # nobody was told of the block before, and so nobody could place these
        parent, told, tokens = before, list[int](), bytearray()
        for number in blocks[num_known:]:
            block = self._tokens.get(number)
            if block is None:
                break
            before = hashes[tenant, number] = _hash(tenant, before, block)
            told.append(before)
            tokens += block
        if told:
            self._publish(BlockStored(told, parent, array("I", bytes(tokens)).tolist(), BLOCK_TOKENS))

    def removed(self, tenant: int, blocks: list[int]) -> None:
        """See `StoreListener`."""
        found = [self._hashes.pop((tenant, number), None) for number in blocks]
        # The deepest goes first, as it does in the store.
        if told := [one for one in reversed(found) if one is not None]:
            self._publish(BlockRemoved(told))

    def cleared(self) -> None:
        """See `StoreListener`."""
        self._hashes.clear()
        self._publish(AllBlocksCleared())


def _hash(tenant: int, before: int | None, block: bytes) -> int:
    parent = b"" if before is None else before.to_bytes(_HASH_BYTES)
    person = str(tenant if before is None else "").encode()
    return int.from_bytes(blake2b(parent + block, digest_size=_HASH_BYTES, person=person).digest())

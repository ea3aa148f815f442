"""Ids of a trace's blocks as ids of blocks of another size, exactly.

Chained ids (equal ids have equal prefixes) survive both ways: a part of a split block is known by the whole's id and
its position in it; a joined block by the id of the last block in it, which stands for all before.
"""

from __future__ import annotations

from collections.abc import Callable

from scheduler.protocol.errors import ConfigError

KeyMaker = Callable[[list[int], int], list[int]]
"""From a prompt's ids and its number of tokens to the ids of its blocks in the store."""


def key_maker(given_tokens: int, block_tokens: int) -> KeyMaker:
    """For ids of `given_tokens` tokens each and a store with blocks of `block_tokens`; one divides the other."""
    if given_tokens % block_tokens == 0:
        parts = given_tokens // block_tokens
        return _as_they_are if parts == 1 else _splitter(parts, block_tokens)
    if block_tokens % given_tokens:
        raise ConfigError(
            f"cache_block_tokens: blocks of {block_tokens} tokens cannot be made from a trace's ids of {given_tokens} "
            "tokens; give a size that divides it or a multiple of it"
        )
    return _joiner(block_tokens // given_tokens)


def _as_they_are(ids: list[int], _num_tokens: int) -> list[int]:
    return ids


def _splitter(parts: int, block_tokens: int) -> KeyMaker:
    def split(ids: list[int], num_tokens: int) -> list[int]:
        keys = [block_id * parts + part for block_id in ids for part in range(parts)]
        # The last id may stand for fewer tokens: it has no parts beyond the prompt's end.
        return keys[: -(-num_tokens // block_tokens)]

    return split


def _joiner(length: int) -> KeyMaker:
    def join(ids: list[int], _num_tokens: int) -> list[int]:
        keys = ids[length - 1 :: length]
        if len(ids) % length:
            keys.append(ids[-1])
        return keys

    return join

"""Ids of blocks of one size as ids of blocks of another, for formats that have a size of their own.

Ids are chains: a part of a split block is known by the whole's id and its place, a joined block by the last id in it,
which stands for all before.
"""

from __future__ import annotations

from collections.abc import Callable

Resize = Callable[[list[int], int], list[int]]
"""From a prompt's ids and its number of tokens to ids of the other size."""


def resizer(given_tokens: int, wanted_tokens: int) -> Resize | None:
    """From blocks of one size to those of another; None if neither divides the other."""
    if given_tokens % wanted_tokens == 0:
        return _splitter(given_tokens // wanted_tokens, wanted_tokens)
    if wanted_tokens % given_tokens == 0:
        return _joiner(wanted_tokens // given_tokens)
    return None


def _splitter(parts: int, wanted_tokens: int) -> Resize:
    def split(ids: list[int], prompt_tokens: int) -> list[int]:
        if parts == 1:
            return ids
        numbers = [block_id * parts + part for block_id in ids for part in range(parts)]
        return numbers[: -(-prompt_tokens // wanted_tokens)]

    return split


def _joiner(length: int) -> Resize:
    def join(ids: list[int], _prompt_tokens: int) -> list[int]:
        joined = ids[length - 1 :: length]
        return [*joined, ids[-1]] if len(ids) % length else joined

    return join

"""Prompts as token ids, made so that a service which hashes blocks of tokens finds the prefixes that the trace has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DIGIT_BITS: Final = 15
NUM_DIGITS: Final = 5
"""A block begins with its number in so many digits: 75 bits, and ids that are in any model's vocabulary."""

_MASK: Final = (1 << DIGIT_BITS) - 1
_OWN: Final = 1 << DIGIT_BITS
"""Added to the ids of what no block of the trace covers, which therefore equals no block."""


def prompt_ids(prefix: Sequence[int], num_tokens: int, block_tokens: int, request: int) -> list[int]:
    """Ids of a prompt of so many tokens, of which `prefix` names the consecutive blocks as `RequestsArrived` does.

    Equal blocks have equal tokens and others differ in their first ones, so that two prompts have as many leading
    tokens in common as they have in the trace, but for a last block of fewer than `NUM_DIGITS` tokens. What no block
    covers is this request's own; `request` is its number.
    """
    ids: list[int] = []
    for block in prefix:
        ids += _repeated(block, min(block_tokens, num_tokens - len(ids)), 0)
    return ids + _repeated(request, num_tokens - len(ids), _OWN)


def _repeated(number: int, num_tokens: int, offset: int) -> list[int]:
    digits = [offset + (number >> place & _MASK) for place in range(0, NUM_DIGITS * DIGIT_BITS, DIGIT_BITS)]
    return (digits * -(-num_tokens // NUM_DIGITS))[: max(0, num_tokens)]

"""Prompts as token ids, made so that a service which hashes blocks of tokens finds the prefixes that the trace has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DIGIT_BITS: Final = 7
NUM_DIGITS: Final = 10
"""A block has its number in so many digits: 70 bits, and ids that are in any model's vocabulary and short in JSON."""

RUN_DIGITS: Final = 4
"""Before them stands the number of the run: what a service keeps of one run is no hit in the next."""

_MASK: Final = (1 << DIGIT_BITS) - 1
_OWN: Final = 1 << DIGIT_BITS
"""Added to the ids of what no block of the trace covers, which therefore equals no block."""


def prompt_ids(prefix: Sequence[int], num_tokens: int, block_tokens: int, request: int, run: int = 0) -> list[int]:
    """Ids of a prompt of so many tokens, of which `prefix` names the consecutive blocks as `RequestsArrived` does.

    Equal blocks have equal tokens and others differ in their first ones, so that two prompts have as many leading
    tokens in common as they have in the trace, but for a last block of a few tokens. What no block covers is this
    request's own; `request` is its number. Prompts of one `run` have nothing in common with those of another.
    """
    head = [run >> place & _MASK for place in range(0, RUN_DIGITS * DIGIT_BITS, DIGIT_BITS)]
    ids: list[int] = []
    for block in prefix:
        ids += _repeated([*head, *_digits(block, 0)], min(block_tokens, num_tokens - len(ids)))
    return ids + _repeated([*head, *_digits(request, _OWN)], num_tokens - len(ids))


def _digits(number: int, offset: int) -> list[int]:
    return [offset + (number >> place & _MASK) for place in range(0, NUM_DIGITS * DIGIT_BITS, DIGIT_BITS)]


def _repeated(ids: list[int], num_tokens: int) -> list[int]:
    return (ids * -(-num_tokens // len(ids)))[: max(0, num_tokens)]

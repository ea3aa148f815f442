"""Which drafts are right, one at a time.

Written from "Sampled acceptance" in docs/engine-rules.md.
"""

from __future__ import annotations

GOLDEN = 11400714819323198485


def num_right(drafts: int, acceptance: float, key: int, request: int, produced: int) -> int:
    """How many drafts are accepted in a step of a sequence that has produced so many tokens."""
    accepted = 0
    while accepted < drafts and is_right(acceptance, key, request, produced + accepted):
        accepted += 1
    return accepted


def is_right(acceptance: float, key: int, request: int, place: int) -> bool:
    """Would a draft of the token at this place of the output be right?"""
    number = mixed(mixed(key + request * GOLDEN) + place * GOLDEN)
    return number // 2**32 < round(acceptance * 2**32)


def mixed(number: int) -> int:
    """Of a number of 64 bits another one, as SplitMix64 has it."""
    number %= 2**64
    number = (number ^ number // 2**30) * 13787848793156543929 % 2**64
    number = (number ^ number // 2**27) * 10723151780598845931 % 2**64
    return number ^ number // 2**31

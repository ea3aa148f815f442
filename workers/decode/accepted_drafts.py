"""Which drafts of a request are right: a property of its text, so the same wherever, whenever and beside whom it runs.

Of each output token a hash of (key, request, place in the output) says whether a draft of it would be right. A step
accepts the right drafts up to the first wrong one, at most as many as are made, and adds one token of its own. How many
it accepts is so distributed as if each draft were accepted by chance: a step never asks for a token that an earlier one
asked for, since the first wrong draft is the place of the token that the step adds.

Why no random generator. What one would give depends on who drew before: on the order of messages of others, on the
clock, on where steps were grouped. A request that is preempted or lost and computed again meets the same tokens again.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from workers.decode.config import Sampling

Ints = npt.NDArray[np.int64]

GOLDEN: Final = 0x9E3779B97F4A7C15
"""The increment of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)."""

_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB
_MASK: Final = 2**64 - 1


def accepted_path(sampling: Sampling, request_id: int, produced: int, output: int) -> Ints:
    """Output tokens of a sequence after each step, from `produced`, where it joins, up to all of its `output`, shape
    (num_steps + 1,)."""
    places = np.arange(produced, output, dtype=np.uint64)
    numbers = _mix(places * np.uint64(GOLDEN) + np.uint64(_seed(sampling.key, request_id)))
    is_end = numbers >> np.uint64(32) >= np.uint64(round(sampling.acceptance * 2**32))
    tokens = np.arange(1, len(places) + 1)
    # From one wrong draft to the next a step ends after each full number of tokens, and at the wrong one.
    since = np.zeros(len(places), np.int64)
    np.maximum.accumulate(np.where(is_end, tokens, 0)[:-1], out=since[1:])
    is_end |= (tokens - since) % (1 + sampling.drafts) == 0
    is_end[-1] = True
    ends = tokens[is_end]
    path = np.full(len(ends) + 1, produced, np.int64)
    path[1:] += ends
    return path


def _seed(key: int, request_id: int) -> int:
    """Of the numbers of one request."""
    number = key + request_id * GOLDEN & _MASK
    number = (number ^ number >> 30) * _FIRST & _MASK
    number = (number ^ number >> 27) * _SECOND & _MASK
    return number ^ number >> 31


def _mix(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of SplitMix64, in place."""
    numbers ^= numbers >> np.uint64(30)
    numbers *= np.uint64(_FIRST)
    numbers ^= numbers >> np.uint64(27)
    numbers *= np.uint64(_SECOND)
    numbers ^= numbers >> np.uint64(31)
    return numbers

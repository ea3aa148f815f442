"""The one place where random generators are made: named streams that grow from one seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """The generator of this name under this seed (a non-negative integer), always the same one.

    Streams of different names are independent, so that drawing more from one changes nothing in another. The name
    goes in through a stable hash: Python's own differs from process to process.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int.from_bytes(digest, "little")])))


def key_of(seed: int, name: str) -> int:
    """Of a stream that is hashed rather than drawn: 64 bits for this name under this seed."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "little")


def stream_on_demand(seed: int, name: str) -> Callable[[], np.random.Generator]:
    """Gives `stream(seed, name)`, made when it is first asked for: numpy's generators take 8 ms to import."""
    return cache(partial(stream, seed, name))

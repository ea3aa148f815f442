"""The column of `DecodeStepped` that tells how many output tokens each sequence has that runs on.

As bytes, since there may be thousands in each report, and few look into them: who streams, and the core when an
instance is lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def pack_running(ids: Ints, tokens: Ints) -> bytes:
    """Request ids and output tokens in all, shape (num_sequences,) each, as little-endian bytes."""
    return np.concatenate((ids, tokens)).astype("<i8", copy=False).tobytes()


def unpack_running(column: bytes) -> dict[int, int]:
    """Output tokens by request id."""
    ids, tokens = np.frombuffer(column, "<i8").reshape(2, -1).tolist()
    return dict(zip(ids, tokens, strict=True))

"""How a request ends: a closed set of reasons in three groups."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class FinishReason(IntEnum):
    """The one end of a request; `PENDING` is no end and never leaves a finished run."""

    PENDING = 0
    STOP = 1
    LENGTH = 2
    ADMISSION = 3
    OVERLOAD = 4
    TOO_LONG = 5
    TIMED_OUT = 6
    CANCELLED = 7
    RETRIES_EXHAUSTED = 8
    INTERRUPTED = 9


FINISHED: Final = (FinishReason.STOP, FinishReason.LENGTH)
REJECTED: Final = (FinishReason.ADMISSION, FinishReason.OVERLOAD, FinishReason.TOO_LONG)
FAILED: Final = (
    FinishReason.TIMED_OUT,
    FinishReason.CANCELLED,
    FinishReason.RETRIES_EXHAUSTED,
    FinishReason.INTERRUPTED,
)

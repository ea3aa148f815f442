"""What is said of requests that nobody waits for any more; `messages` has these with all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True)
class CancelRequests:
    """Nobody waits for these any more.

    A prefill instance drops those that it has not begun, which `RequestsCancelled` confirms; the others it computes. At
    a decode instance those that run leave at the next boundary, as finished ones of `DecodeStepped`.
    """

    ids: Final[list[int]]


@dataclass(slots=True)
class RequestsCancelled:
    """A prefill instance has dropped these prompts from its queue."""

    instance: Final[str]
    ids: Final[list[int]]

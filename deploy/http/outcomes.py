"""What the end of a request in the scheduler means to its client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deploy.http.accepted.records import Outcome
from deploy.http.answers import Answer
from deploy.http.errors import HttpError
from scheduler.protocol.finish import FINISHED, FinishReason

_ERRORS: Final[Mapping[FinishReason, tuple[int, str, float]]] = {
    FinishReason.ADMISSION: (429, "the admission rule of the cluster turned the request away", 1.0),
    FinishReason.OVERLOAD: (429, "the cluster has as many open requests as it takes", 1.0),
    FinishReason.TOO_LONG: (400, "the prompt is longer than an instance holds", 0.0),
    FinishReason.TIMED_OUT: (503, "the request waited for longer than its class may", 1.0),
    FinishReason.CANCELLED: (503, "the request was cancelled", 1.0),
    FinishReason.RETRIES_EXHAUSTED: (503, "instances were lost or full as often as the request may be retried", 1.0),
    FinishReason.INTERRUPTED: (503, "the cluster ended what it served, for a replay or its own end", 5.0),
}


def refusal(outcome: Outcome) -> HttpError | None:
    """The error that a client is told; None if it has its answer."""
    if outcome.reason in FINISHED:
        return None
    status, message, retry_after_s = _ERRORS[outcome.reason]
    return HttpError(status, message, outcome.reason.name.lower(), retry_after_s=retry_after_s)


def finish_reason(outcome: Outcome, answer: Answer) -> str:
    """As the answer was made, unless the cluster had no room for the rest of it."""
    return "length" if outcome.reason is FinishReason.LENGTH else answer.finish_reason

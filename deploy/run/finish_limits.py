"""The limit behind each way to end without having finished, as a reader of a result is told it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deploy.settings.models import Requests
from deploy.system.blueprint import Blueprint
from scheduler.core.config import MAX_PREEMPTIONS, MAX_RETRIES
from scheduler.protocol.finish import FinishReason

_RETRIES: Final = (
    f"lost with its worker more than {MAX_RETRIES:,} times, or preempted more than {MAX_PREEMPTIONS:,} times"
)


def finish_limits(blueprint: Blueprint) -> Mapping[FinishReason, str]:
    """By reason, a phrase that says what a request was beyond; none for who finished."""
    requests = blueprint.settings.requests
    return {
        FinishReason.ADMISSION: f"not admitted by {requests.admission.spec}",
        FinishReason.OVERLOAD: f"more than {requests.max_open_requests:,} requests open",
        FinishReason.TOO_LONG: f"prompt and first token longer than {_longest(blueprint)}",
        FinishReason.TIMED_OUT: _time_outs(requests),
        FinishReason.CANCELLED: "withdrawn by its client",
        FinishReason.RETRIES_EXHAUSTED: _RETRIES,
        FinishReason.INTERRUPTED: "open when the run was stopped",
    }


def _longest(blueprint: Blueprint) -> str:
    """What bounds a sequence: positions of the model, or the KV of the smallest instance."""
    infos = [*blueprint.prefill_infos(), *blueprint.decode_infos()]
    smallest = min(infos, key=lambda one: one.max_sequence_tokens)
    if smallest.max_sequence_tokens >= blueprint.model.max_positions:
        return f"{blueprint.model.max_positions:,} positions"
    return f"{smallest.max_sequence_tokens:,} tokens of KV, the room of {smallest.address}"


def _time_outs(requests: Requests) -> str:
    """Of the run, then of each class that has its own."""
    of_classes = [f"{one.name} {one.timeout_s:g} s" for one in requests.classes if one.timeout_s is not None]
    of_run = [f"{requests.request_timeout_s:g} s"] if requests.request_timeout_s else []
    return f"not finished after {', '.join([*of_run, *of_classes])}"

"""What may happen to a request, as one table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where a request is."""

    ARRIVED = 0
    FETCHING = 1
    PREFILL_QUEUED = 2
    PREFILLING = 3
    PREFILLING_RESERVED = 4
    PREFILLED = 5
    TRANSFERRING_KV = 6
    DECODE_QUEUED = 7
    DECODING = 8
    ENDED = 9


class Event(IntEnum):
    """What happens to a request."""

    FETCH = 0
    SEND_PREFILL = 1
    PREFILL_STARTED = 2
    RESERVED = 3
    PREFILL_DONE = 4
    KV_TRANSFERRED = 5
    DECODE_STARTED = 6
    PREEMPTED = 7
    END = 8
    LOST = 9
    RESERVATION_LOST = 10


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.ARRIVED, Event.FETCH): State.FETCHING,
    (State.ARRIVED, Event.SEND_PREFILL): State.PREFILL_QUEUED,
    (State.FETCHING, Event.SEND_PREFILL): State.PREFILL_QUEUED,
    (State.PREFILL_QUEUED, Event.PREFILL_STARTED): State.PREFILLING,
    # Room at a decode instance may be kept before or after the last pass ends; both are needed to hand over.
    (State.PREFILLING, Event.RESERVED): State.PREFILLING_RESERVED,
    (State.PREFILLING, Event.PREFILL_DONE): State.PREFILLED,
    (State.PREFILLING_RESERVED, Event.PREFILL_DONE): State.TRANSFERRING_KV,
    (State.PREFILLED, Event.RESERVED): State.TRANSFERRING_KV,
    (State.TRANSFERRING_KV, Event.KV_TRANSFERRED): State.DECODE_QUEUED,
    (State.DECODE_QUEUED, Event.DECODE_STARTED): State.DECODING,
    # Recompute: the KV is lost, the request begins again with the tokens it has produced.
    (State.DECODING, Event.PREEMPTED): State.ARRIVED,
    # A worker that held the request, or its KV, is gone: it begins again.
    **{(state, Event.LOST): State.ARRIVED for state in State if state not in (State.ARRIVED, State.ENDED)},
    # Only the decode instance where room was kept is gone: the KV is still where the last pass made it.
    (State.PREFILLING_RESERVED, Event.RESERVATION_LOST): State.PREFILLING,
    (State.TRANSFERRING_KV, Event.RESERVATION_LOST): State.PREFILLED,
    **{(state, Event.END): State.ENDED for state in State if state is not State.ENDED},
}


ILLEGAL: Final = -1
"""In place of a next state. No byte can be it, so that a column of states refuses it."""

SUCCESSORS: Final = tuple(
    [tuple([int(TRANSITIONS.get((state, event), ILLEGAL)) for state in State]) for event in Event]
)
"""`TRANSITIONS` as integers: entry `[event][state]` is the next state or `ILLEGAL`."""

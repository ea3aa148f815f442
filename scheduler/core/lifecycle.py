"""What may happen to a request, as one table.

A request waits for three things that need not come in one order: its last prefill pass, room for its KV at a decode
instance, and the transfer of that KV. Room is asked for while the last chunk of the prompt is computed, so that layers
can move as they are made; the answer may come before the pass ends (`PREFILLING_RESERVED`) or after it (`PREFILLED`),
and only when both are there the KV is under way (`TRANSFERRING_KV`). Everything else is a straight line.

What a request depends on follows from its state alone: until its KV has been transferred on its prefill instance, from
then on on its decode instance (`AT_DECODE`). Whoever is lost takes exactly the requests that depend on it, and they go
back to `ARRIVED` with nothing but the tokens that their clients have seen; there is no other way back. Nothing leads
out of `ENDED`: a request ends once, and a report that comes late for one that has ended is told by its state.

The table is applied by `RequestTable.move`, which refuses whatever is not in it. `docs/life-cycle.md` is drawn from it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class State(IntEnum):
    """Where a request is."""

    ARRIVED = 0
    """No instance was chosen: it is being looked up, waits for its turn, or no instance is there."""
    FETCHING = 1
    """A prefill instance was chosen, and the part of its prompt that is cached moves there."""
    PREFILL_QUEUED = 2
    """Its prefill instance was told to begin, and has not."""
    PREFILLING = 3
    """A pass over (a chunk of) its prompt runs; no room is kept for it at a decode instance."""
    PREFILLING_RESERVED = 4
    """The pass over its last chunk runs, and room is kept: layers move as they are made."""
    PREFILLED = 5
    """Its first token is out; its KV lies at the prefill instance until room is kept."""
    TRANSFERRING_KV = 6
    """Its first token is out, room is kept, and its KV moves to the decode instance."""
    DECODE_QUEUED = 7
    """All of its KV has arrived; it joins at the next step boundary."""
    DECODING = 8
    """Each step gives it tokens."""
    ENDED = 9
    """For one reason, for good."""


class Event(IntEnum):
    """What happens to a request."""

    FETCH = 0
    """A read of what is cached of it begins."""
    SEND_PREFILL = 1
    """A prefill instance is told to begin."""
    PREFILL_STARTED = 2
    """Its first chunk is in the pass that begins."""
    RESERVED = 3
    """Room for its KV is kept at a decode instance."""
    PREFILL_DONE = 4
    """The pass over its last chunk has ended."""
    KV_TRANSFERRED = 5
    """All of its KV has arrived at the decode instance."""
    DECODE_STARTED = 6
    """It is in the step that begins."""
    PREEMPTED = 7
    """Its decode instance has dropped its KV for want of room."""
    END = 8
    """It finished, was rejected, or failed."""
    LOST = 9
    """Who it depended on is lost, or its KV out of reach."""
    RESERVATION_LOST = 10
    """Only the decode instance where room was kept is lost, or out of reach."""
    STAYED = 11
    """The pass over its last chunk has ended at an instance that decodes, too."""


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.ARRIVED, Event.FETCH): State.FETCHING,
    (State.ARRIVED, Event.SEND_PREFILL): State.PREFILL_QUEUED,
    (State.FETCHING, Event.SEND_PREFILL): State.PREFILL_QUEUED,
    (State.PREFILL_QUEUED, Event.PREFILL_STARTED): State.PREFILLING,
    (State.PREFILLING, Event.RESERVED): State.PREFILLING_RESERVED,
    (State.PREFILLING, Event.PREFILL_DONE): State.PREFILLED,
    (State.PREFILLING, Event.STAYED): State.DECODE_QUEUED,
    (State.PREFILLING_RESERVED, Event.PREFILL_DONE): State.TRANSFERRING_KV,
    (State.PREFILLED, Event.RESERVED): State.TRANSFERRING_KV,
    (State.TRANSFERRING_KV, Event.KV_TRANSFERRED): State.DECODE_QUEUED,
    (State.DECODE_QUEUED, Event.DECODE_STARTED): State.DECODING,
    # Recompute: the KV is gone, the request is requeued with the tokens that it has produced.
    (State.DECODING, Event.PREEMPTED): State.ARRIVED,
    **{(state, Event.LOST): State.ARRIVED for state in State if state not in (State.ARRIVED, State.ENDED)},
    # The KV is still where the last pass made it.
    (State.PREFILLING_RESERVED, Event.RESERVATION_LOST): State.PREFILLING,
    (State.TRANSFERRING_KV, Event.RESERVATION_LOST): State.PREFILLED,
    **{(state, Event.END): State.ENDED for state in State if state is not State.ENDED},
}

BEFORE_FIRST_TOKEN: Final = frozenset(
    {State.FETCHING, State.PREFILL_QUEUED, State.PREFILLING, State.PREFILLING_RESERVED}
)
"""A prefill instance was chosen, and counts the request as work that it has to do."""

PREFILL_STARTED: Final = frozenset(
    {State.PREFILLING, State.PREFILLING_RESERVED, State.PREFILLED, State.TRANSFERRING_KV}
)
"""The request may have asked a decode instance for room, and depends on its prefill instance."""

RESERVED: Final = frozenset({State.PREFILLING_RESERVED, State.TRANSFERRING_KV})
"""Room is kept at a decode instance which holds none of the KV yet, or not all of it."""

AT_DECODE: Final = frozenset({State.DECODE_QUEUED, State.DECODING})
"""The request depends on its decode instance alone."""


ILLEGAL: Final = -1
"""In place of a next state. No byte can be it, so that a column of states refuses it."""

SUCCESSORS: Final = tuple(
    [tuple([int(TRANSITIONS.get((state, event), ILLEGAL)) for state in State]) for event in Event]
)
"""`TRANSITIONS` as integers: entry `[event][state]` is the next state or `ILLEGAL`."""

"""One session of a system that lives: the life of one table on one emulated clock, and what can be read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np

from scheduler.core.lifecycle import State
from scheduler.core.request_table import RequestTable
from scheduler.metrics.columns import view
from scheduler.metrics.live.instances import DecodeTally
from scheduler.metrics.live.snapshot import LiveInstance
from scheduler.metrics.slo import Slo

_RUNNING_STATES: Final = (
    (State.PREFILLING, State.PREFILLING_RESERVED),
    (State.TRANSFERRING_KV,),
    (State.DECODING,),
)
_WAITING_STATES: Final = (
    (State.ARRIVED, State.FETCHING, State.PREFILL_QUEUED),
    (State.PREFILLED,),
    (State.DECODE_QUEUED,),
)
"""Both by stage. Who has been prefilled waits for room at a decode instance: for the KV transfer to begin."""


class Lateness(Protocol):
    """How late messages of one session were, in emulated nanoseconds."""

    num_samples: int
    sum_ns: int

    def num_within(self, limits_ns: Sequence[float]) -> list[int]:
        """Messages that were at most so late, for each limit."""
        ...


@dataclass(slots=True)
class LiveSession:
    """The session that is on. `now_ns`: how far its clock is known to be; requests below `first_open` have ended."""

    is_replay: Final[bool]
    table: Final[RequestTable]
    speed: Final[float]
    lateness: Final[Lateness | None]
    tallies: Final[dict[str, DecodeTally]]
    slo: Final[Slo | None]
    now_ns: int = 0
    first_open: int = 0
    may_retry: bool = False
    first_ids: list[int] = field(default_factory=list[int])
    num_ended_read: int = 0


def open_by_stage(session: LiveSession) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Open requests that are at work and that wait, by stage."""
    state = view(session.table.state, session.table.num_requests)[session.first_open :]
    is_open = state != State.ENDED
    session.first_open += int(is_open.argmax()) if is_open.any() else len(state)
    counts = np.bincount(state, minlength=len(State)).tolist()
    running, waiting = (
        tuple(sum(counts[state] for state in states) for states in stages)
        for stages in (_RUNNING_STATES, _WAITING_STATES)
    )
    return running, waiting


def kv_usage(instance: LiveInstance, session: LiveSession | None) -> float:
    """Share of its KV capacity that a decode instance has in use; 0 for any other."""
    if session is None or instance.role != "decode":
        return 0.0
    return session.tallies[instance.address].kv_tokens / instance.kv_capacity_tokens


def num_retries(session: LiveSession) -> int:
    """How often requests of this session began again; only a loss or a fault makes any."""
    return int(view(session.table.retries, session.table.num_requests).sum()) if session.may_retry else 0

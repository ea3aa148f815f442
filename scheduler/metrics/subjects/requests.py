"""How many requests there are: arrived, open by stage, and ended by why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.core.lifecycle import State
from scheduler.metrics.columns import Bools, Ints, view
from scheduler.metrics.family import Family, Labels, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.records import Records
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.protocol.finish import FAILED, FINISHED, REJECTED, FinishReason
from scheduler.protocol.messages import RequestsArrived, TransferFailed, WorkersLost

STAGES: Final = ("prefill", "hand_over", "decode")
"""Where an open request is, in the order of `RequestTotals.running` and `waiting`."""

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

END_REASONS: Final = tuple(reason for reason in FinishReason if reason is not FinishReason.PENDING)
"""How a request ends, in the order of `RequestTotals.ended`."""

_OUTCOMES: Final = {"finished": FINISHED, "rejected": REJECTED, "failed": FAILED}


def ended_by_reason(records: Records, is_counted: Bools | slice = slice(None)) -> Ints:
    """Requests by `FinishReason`, shape (num_reasons,), of all records or of those that a mask of them picks."""
    return np.bincount(records.reason[is_counted], minlength=len(FinishReason))


class RequestTotals(Struct, frozen=True):
    """Requests that arrived, that ended (by `END_REASONS`) and that are at work or wait (by `STAGES`).

    `retries`: how often requests were requeued because a worker was lost.
    """

    arrived: int
    ended: tuple[int, ...]
    retries: int
    running: tuple[int, ...]
    waiting: tuple[int, ...]

    @property
    def finished(self) -> int:
        """Those that ended well."""
        return sum(count for reason, count in zip(END_REASONS, self.ended, strict=True) if reason in FINISHED)


class RequestAccount(Account[RequestTotals]):
    """Counts arrivals as they are told and ends as the table notes them; who is open is looked up in the table."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._arrived = self._retries = 0
        self._ended = np.zeros(len(FinishReason), np.int64)
        self._may_retry = False

    def handlers(self) -> Handlers:
        """A lost worker, or KV out of reach, requeues requests."""
        return {
            RequestsArrived: self._on_arrived,
            TransferFailed: self._on_trouble,
            WorkersLost: self._on_trouble,
        }

    def _on_arrived(self, _session: Session, message: RequestsArrived) -> None:
        self._arrived += len(message.prompt_tokens)

    def _on_trouble(self, _session: Session, _message: TransferFailed | WorkersLost) -> None:
        self._may_retry = True

    def drain(self, first: Records, ended: Records) -> None:
        """Count those that ended."""
        self._ended += ended_by_reason(ended)

    def end(self, session: Session) -> None:
        """Keep what only the table of the session knows. Who is open when a run fails with its core has failed, too."""
        self._ended[FinishReason.INTERRUPTED] += session.table.num_open
        self._retries += self._retries_of(session)
        self._may_retry = False

    def _retries_of(self, session: Session) -> int:
        """Only a loss or a fault makes any: without one the column need not be summed up."""
        return int(view(session.table.retries, session.table.num_requests).sum()) if self._may_retry else 0

    def totals(self, session: Session | None) -> RequestTotals:
        """As they stand."""
        ended = tuple(self._ended[list(END_REASONS)].tolist())
        if session is None:
            none = (0,) * len(STAGES)
            return RequestTotals(self._arrived, ended, self._retries, none, none)
        state = view(session.table.state, session.table.num_requests)[session.first_open :]
        counts: list[int] = np.bincount(state, minlength=len(State)).tolist()
        running, waiting = (
            tuple(sum(counts[state] for state in states) for states in stages)
            for stages in (_RUNNING_STATES, _WAITING_STATES)
        )
        return RequestTotals(self._arrived, ended, self._retries + self._retries_of(session), running, waiting)


class RequestCounts(Struct, frozen=True):
    """Requests by the group of their finish reason; `retried` are those that were requeued because a worker was
    lost."""

    arrived: int
    finished: int
    rejected: int
    failed: int
    retried: int


def request_counts(records: Records, is_counted: Bools | slice = slice(None)) -> RequestCounts:
    """Of all records, or of those that a mask of them picks."""
    by_reason, retries = ended_by_reason(records, is_counted), records.retries[is_counted]
    groups = (int(by_reason[list(reasons)].sum()) for reasons in _OUTCOMES.values())
    return RequestCounts(len(retries), *groups, retried=int((retries > 0).sum()))


def _summary(run: EndedRun) -> Mapping[str, Any]:
    by_reason: list[int] = ended_by_reason(run.records).tolist()
    limits = run.info.finish_limits
    return {
        "requests": request_counts(run.records),
        "finish_reasons": {
            reason.name.lower(): by_reason[reason] for reasons in _OUTCOMES.values() for reason in reasons
        },
        "finish_limits": {
            reason.name.lower(): limits[reason]
            for reason in (*REJECTED, *FAILED)
            if by_reason[reason] and reason in limits
        },
    }


def _outcome(reason: FinishReason) -> str:
    return next(outcome for outcome, reasons in _OUTCOMES.items() if reason in reasons)


_REASONS: Final[list[Labels]] = [(_outcome(reason), reason.name.lower()) for reason in END_REASONS]

FAMILIES: Final = (
    Family(
        "supernode_requests_arrived_total", "counter", "Requests that reached the gateway.",
        lambda s: (s[RequestTotals].arrived,),
    ),
    Family(
        "supernode_requests_ended_total", "counter", "Requests by how they ended.",
        lambda s: s[RequestTotals].ended, ("outcome", "reason"), lambda _: _REASONS,
    ),
    Family(
        "supernode_request_retries_total", "counter", "Requests requeued because a worker was lost.",
        lambda s: (s[RequestTotals].retries,),
    ),
    Family(
        "supernode_requests_running", "gauge", "Open requests that are at work, by stage.",
        lambda s: s[RequestTotals].running, ("stage",), by_value(*STAGES),
    ),
    Family(
        "supernode_requests_waiting", "gauge", "Open requests that wait, by the stage they wait for.",
        lambda s: s[RequestTotals].waiting, ("stage",), by_value(*STAGES),
    ),
)  # fmt: skip

SUBJECTS.register("requests", Subject(RequestTotals, RequestAccount, FAMILIES, _summary))

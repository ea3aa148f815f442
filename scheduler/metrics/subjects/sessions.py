"""Sessions of clients: conversations and tasks of several requests, from the first call to the last end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Bools, Floats, Ints, view
from scheduler.metrics.distribution import Distribution, distribution
from scheduler.metrics.family import Family
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Subject
from scheduler.metrics.subject import Session as Run
from scheduler.protocol.messages import NO_SESSION, RequestsArrived, SessionsClosed


class SessionTotals(Struct, frozen=True):
    """Sessions of which something came, that are not closed, and those that were closed since the system came up."""

    num_open: int
    closed: int


class SessionAccount(Account[SessionTotals]):
    """Knows the sessions that are open."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._open = set[int]()
        self._closed = 0

    def handlers(self) -> Handlers:
        """First requests, and what clients close."""
        return {RequestsArrived: self._on_arrived, SessionsClosed: self._on_closed}

    def begin(self, session: Run) -> None:
        """A run has sessions of its own."""
        self._open.clear()

    def _on_arrived(self, _run: Run, message: RequestsArrived) -> None:
        if message.sessions:
            self._open.update(message.sessions)
            self._open.discard(NO_SESSION)

    def _on_closed(self, _run: Run, message: SessionsClosed) -> None:
        self._open.difference_update(message.sessions)
        self._closed += len(message.sessions)

    def end(self, session: Run) -> None:
        """Nobody goes on with them."""
        self._open.clear()

    def totals(self, session: Run | None) -> SessionTotals:
        """As they stand."""
        return SessionTotals(len(self._open), self._closed)


class SessionUse(Struct, frozen=True):
    """Sessions that began, and those of them of which every planned turn finished.

    `turns` are requests that were sent for them, `abandoned_turns` those that never were: a turn before them got no
    answer, or the run ended. `e2e_s` is from the first arrival to the last end, of completed sessions.
    """

    count: int
    completed: int
    turns: int
    abandoned_turns: int
    e2e_s: Distribution


def _summary(run: EndedRun) -> Mapping[str, Any]:
    clients = run.info.clients
    if clients is None or clients.planned_turns is None:
        return {}
    planned = np.array(clients.planned_turns, np.int64)
    session, records = run.records.session, run.records
    has_begun = session != NO_SESSION
    # A session whose first turn was left out is left out whole.
    has_begun[has_begun] = ~_began_before(run, len(planned))[session[has_begun]]
    numbers = session[has_begun]
    sent = np.bincount(numbers, minlength=len(planned))
    finished = np.bincount(numbers, records.is_finished[has_begun], len(planned))
    is_completed = (sent > 0) & (finished == planned)
    e2e_s = _e2e_s(numbers, records.arrived_ns[has_begun], records.ended_ns[has_begun], len(planned))
    return {
        "sessions": SessionUse(
            int((sent > 0).sum()),
            int(is_completed.sum()),
            len(numbers),
            int((planned - sent)[sent > 0].sum()),
            distribution(e2e_s[is_completed]),
        )
    }


def _began_before(run: EndedRun, num_sessions: int) -> Bools:
    """Which sessions had a request in the warm-up, shape (num_sessions,)."""
    began = np.zeros(num_sessions, np.bool_)
    early = view(run.whole.table.session, run.num_left_out)
    began[early[early != NO_SESSION]] = True
    return began


def _e2e_s(numbers: Ints, arrived_ns: Ints, ended_ns: Ints, num_sessions: int) -> Floats:
    """First arrival to last end of each session, shape (num_sessions,); without any requests it says nothing."""
    first_ns = np.full(num_sessions, np.iinfo(np.int64).max)
    last_ns = np.zeros(num_sessions, np.int64)
    np.minimum.at(first_ns, numbers, arrived_ns)
    np.maximum.at(last_ns, numbers, ended_ns)
    return (last_ns - first_ns) / NS_PER_S


FAMILIES: Final = (
    Family(
        "supernode_sessions_open", "gauge", "Sessions of clients that have begun and go on.",
        lambda s: (s[SessionTotals].num_open,),
    ),
    Family(
        "supernode_sessions_closed_total", "counter", "Sessions of which nothing more comes: done, or given up.",
        lambda s: (s[SessionTotals].closed,),
    ),
)  # fmt: skip

SUBJECTS.register("sessions", Subject(SessionTotals, SessionAccount, FAMILIES, _summary))

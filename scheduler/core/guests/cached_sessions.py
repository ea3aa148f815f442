"""What caches are told of sessions, where their policy reads them, and what their policies say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from scheduler.core.config import CacheMode
from scheduler.core.guest import Guest
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import Transfers
from scheduler.policies.failures import PolicyFailures
from scheduler.protocol.addresses import FABRIC_ADDRESS
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.messages import (
    NO_SESSION,
    ArrivalsEnded,
    CachePolicyReported,
    FetchSessions,
    Message,
    PrefillStepped,
    RequestsArrived,
    SessionRequests,
    SessionsClosed,
    SessionsFetched,
    SessionsGone,
    SessionsIdle,
    TransferDone,
    TransferFailed,
    WorkersLost,
)


class CachePolicies(Guest):
    """Adds up how often code of a user's own failed in caches."""

    hears = (CachePolicyReported,)

    def __init__(self) -> None:
        self._reports: dict[str, CachePolicyReported] = {}

    def after(self, now_ns: int, message: Message) -> Outputs:
        """A report is of all since the cache began."""
        assert isinstance(message, CachePolicyReported)
        self._reports[message.address] = message
        return NOTHING

    @property
    def policy_failures(self) -> Mapping[str, PolicyFailures]:
        """All caches together."""
        reports = [report for report in self._reports.values() if report.failures]
        first = reports[0].first_failure if reports else ""
        return {"cache": PolicyFailures(sum(report.failures for report in reports), first)}


class CachedSessions(Guest):
    """Tells the pools, or the cache of the instance that computes a prompt, which request is of which session, when a
    session has no open request, and when nothing more of it will come; and has fetched what pools ask for."""

    def __init__(self, state: SchedulerState, transfers: Transfers) -> None:
        self._table = state.table
        self._pools = state.pools
        self._transfers = transfers
        self._is_pooled = state.config.cache_mode is CacheMode.POOL
        # Open requests of each session that has any, and where its requests went last.
        self._open: dict[int, int] = {}
        self._instances: dict[int, str] = {}
        # Sessions that were told of and not closed.
        self._known: set[int] = set()
        self._has_arrivals = True
        self._has_sessions = False
        # Pool and session by number of the flow.
        self._fetches: dict[int, tuple[str, int]] = {}
        self._handlers: dict[type, Callable[[Any], Outputs]] = {
            RequestsArrived: self._on_arrived,
            SessionsClosed: self._on_closed,
            ArrivalsEnded: self._on_arrivals_ended,
        }
        if not self._is_pooled:
            self._handlers[PrefillStepped] = self._on_stepped
        elif state.config.has_cache_ssd:
            self._handlers |= {
                FetchSessions: self._on_fetch,
                TransferDone: self._on_flow_ended,
                TransferFailed: self._on_flow_ended,
                WorkersLost: self._on_lost,
            }
        self.hears: Collection[type] | None = tuple(self._handlers)

    def notices(self) -> Sequence[str]:
        """A policy that has nothing to go by is no comparison."""
        if self._has_sessions:
            return ()
        return ("no request told of a session, so cache_policy had none to keep anything for; say --sessions closed",)

    def after(self, now_ns: int, message: Message) -> Outputs:
        """What the core has heard, caches hear."""
        return self._handlers[type(message)](message)

    def _on_arrived(self, message: RequestsArrived) -> Outputs:
        if not message.sessions:
            return NOTHING
        told = SessionRequests([], [])
        last = self._table.num_requests
        for request_id, session in enumerate(message.sessions, last - len(message.sessions)):
            if session != NO_SESSION:
                self._open[session] = self._open.get(session, 0) + 1
                self._known.add(session)
                told.ids.append(request_id)
                told.sessions.append(session)
        if not told.ids:
            return NOTHING
        self._has_sessions = True
        return self._to_pools(told) if self._is_pooled else NOTHING

    def _on_stepped(self, message: PrefillStepped) -> Outputs:
        """An instance looks up a prompt when it begins; a session that goes elsewhere leaves where it was."""
        session_of, instance = self._table.session, message.instance
        told = SessionRequests([], [])
        left: dict[str, SessionsGone] = {}
        for request_id in message.started_ids:
            session = session_of[request_id]
            if session == NO_SESSION:
                continue
            told.ids.append(request_id)
            told.sessions.append(session)
            before = self._instances.get(session, instance)
            self._instances[session] = instance
            if before != instance:
                left.setdefault(before, SessionsGone([])).sessions.append(session)
        return [(instance, told), *left.items()] if told.ids else NOTHING

    def _on_closed(self, message: SessionsClosed) -> Outputs:
        return self._gone(message.sessions)

    def _on_arrivals_ended(self, message: ArrivalsEnded) -> Outputs:
        self._has_arrivals = False
        return self._gone(sorted(self._known)) if not self._table.num_open else NOTHING

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """A session is idle when its last open request has ended; after the last of all, none comes back."""
        idle: list[int] = []
        open_, session_of = self._open, self._table.session
        for request_id in ids:
            session = session_of[request_id]
            if session == NO_SESSION:
                continue
            open_[session] -= 1
            if not open_[session]:
                del open_[session]
                idle.append(session)
        if not self._has_arrivals and not self._table.num_open:
            return self._gone(sorted(self._known))
        # One that has closed before its last request has ended does not come back.
        idle = [session for session in idle if session in self._known]
        return self._tell(SessionsIdle, idle) if idle else NOTHING

    def _gone(self, sessions: Iterable[int]) -> Outputs:
        sessions = [session for session in sessions if session in self._known]
        self._known.difference_update(sessions)
        outputs = self._tell(SessionsGone, sessions) if sessions else NOTHING
        for session in sessions:
            self._instances.pop(session, None)
        return outputs

    def _tell(self, kind: type[SessionsIdle | SessionsGone], sessions: list[int]) -> Outputs:
        if self._is_pooled:
            return self._to_pools(kind(sessions))
        told: dict[str, SessionsIdle | SessionsGone] = {}
        for session in sessions:
            if session in self._instances:
                told.setdefault(self._instances[session], kind([])).sessions.append(session)
        return list(told.items())

    def _to_pools(self, message: Message) -> Outputs:
        return [(self._pools.addresses[index], message) for index in self._pools.up]

    def _on_fetch(self, message: FetchSessions) -> Outputs:
        outputs: list[Output] = []
        for session, num_tokens in zip(message.sessions, message.num_tokens, strict=True):
            transfer_id, output = self._transfers.fetch_from_ssd(message.pool, num_tokens)
            self._fetches[transfer_id] = message.pool, session
            outputs.append(output)
        return outputs

    def _on_flow_ended(self, message: TransferDone | TransferFailed) -> Outputs:
        pool, session = self._fetches.pop(message.transfer_id, ("", NO_SESSION))
        arrived = isinstance(message, TransferDone)
        return [(pool, SessionsFetched([session], arrived))] if pool else NOTHING

    def _on_lost(self, message: WorkersLost) -> Outputs:
        """What a fabric carried does not arrive any more."""
        if FABRIC_ADDRESS not in message.addresses:
            return NOTHING
        fetches, self._fetches = self._fetches, {}
        return [(pool, SessionsFetched([session], arrived=False)) for pool, session in fetches.values()]

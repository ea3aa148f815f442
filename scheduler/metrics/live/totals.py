"""The guest of a core that keeps totals while a system lives, over all its sessions, for whoever looks at it meanwhile.

It hands each message on to the accounts of all subjects. What a latency is, `records` alone says: it notes whose first
token came out, the table notes who ended, and a snapshot first reads the records of just those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.core.guest import Guest
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.layout import Layout
from scheduler.metrics.live.decisions import DecisionCounts
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.metrics.snapshot import Rates, Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Fleet, Lateness, RunOutcome, Session
from scheduler.metrics.subjects.decisions import DecisionAccount, DecisionTotals
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.metrics.subjects.requests import RequestTotals
from scheduler.metrics.subjects.tokens import TokenTotals
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import Message, PrefillStepped

TotalsT = TypeVar("TotalsT")

RATE_WALL_S: Final = 10.0
"""Wall seconds over which rates are means."""


class LiveTotals(Guest):
    """Takes note of each message before the core handles it, because it reads what the table knew before.

    A session is the life of one table on one emulated clock: a replay, or the idle time between two. `begin` and `end`
    enclose it; counters go on from session to session. A snapshot is taken between two messages, never between a
    message's note and the core.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._session: Session | None = None
        self._accounts: dict[type, Account[Any]] = {one.totals: one.account(layout) for one in SUBJECTS.values()}
        self._marks: deque[tuple[int, int, int, int]] = deque()
        self._handlers: dict[type, list[Callable[[Session, Any], None]]] = {PrefillStepped: [_note_first_tokens]}
        for account in self._accounts.values():
            for kind, handler in account.handlers().items():
                self._handlers.setdefault(kind, []).append(handler)
        self.hears = self._handlers.keys()

    @property
    def decisions(self) -> DecisionCounts:
        """A log for the decisions of cores."""
        account = self._accounts[DecisionTotals]
        assert isinstance(account, DecisionAccount)
        return account.counts

    def __getitem__(self, kind: type[TotalsT]) -> TotalsT:
        """The totals of one subject, but for records that were not yet looked at; those of all are a `snapshot`."""
        return self._accounts[kind].totals(self._session)

    def begin(
        self,
        table: RequestTable,
        speed: float,
        lateness: Lateness | None = None,
        *,
        is_replay: bool = True,
        slo: Slo | None = None,
        power_cap_w: float = 0.0,
        errors: Mapping[str, PredictionError] | None = None,
        concurrency: Mapping[str, int] | None = None,
        fleet: Fleet | None = None,
        autoscaler: str = "",
    ) -> None:
        """A session begins, with a fresh table, a clock at 0 and all workers up; one that has not ended has failed.

        `speed`: emulated seconds per second on the wall. A session that is no replay is the idle time between two.
        Requests are judged by `slo`, if there is one; `power_cap_w` is at the feeds, 0 for none; `errors` are those of
        its predictions, if it makes any; `concurrency` its clients by class, if they wait; `fleet` tells of instances
        that come and go, by what the `autoscaler` of that name says, if there is one.
        """
        self.end("failed")
        self._session = Session(
            is_replay, table, speed, lateness, slo, power_cap_w, errors or {}, concurrency or {}, fleet, autoscaler
        )
        for account in self._accounts.values():
            account.begin(self._session)

    def end(self, outcome: RunOutcome) -> None:
        """The session, if there is one, is over: account for what is left of it, and let go of its table.

        How it ended counts if it was a replay.
        """
        session = self._session
        if session is None:
            return
        session.outcome = outcome
        self._drain(session)
        for account in self._accounts.values():
            account.end(session)
        self._marks.clear()
        self._session = None

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Take note of one message to the core; outside of a session of none."""
        handlers, session = self._handlers.get(message.__class__), self._session
        if handlers is not None and session is not None:
            if now_ns > session.now_ns:
                session.now_ns = now_ns
            for handle in handlers:
                handle(session, message)
        return NOTHING

    def snapshot(self, now_ns: int = 0) -> Snapshot:
        """How it stands at `now_ns` on the clock of the session; without one the time says nothing.

        What it takes grows with what happened since the last snapshot and with the requests that are open.
        """
        session = self._session
        if session is not None:
            self._drain(session)
            session.now_ns = max(session.now_ns, now_ns)
            session.skip_ended()
        totals = {kind: account.totals(session) for kind, account in self._accounts.items()}
        return Snapshot(self._layout, totals, Rates() if session is None else self._rates(session, totals))

    def _drain(self, session: Session) -> None:
        """Read the records of those whose first token came out, and of those who ended, since the last time."""
        table = session.table
        first = Records(table, session.first_ids)
        ended = Records(table, table.ended_ids[session.num_ended_read :])
        session.first_ids, session.num_ended_read = [], len(table.ended_ids)
        for account in self._accounts.values():
            account.drain(first, ended)

    def _rates(self, session: Session, totals: Mapping[type, Any]) -> Rates:
        """Since the latest snapshot that is at least the window old, or the oldest of this session."""
        marks = self._marks
        requests: RequestTotals = totals[RequestTotals]
        tokens: TokenTotals = totals[TokenTotals]
        engines: EngineTotals = totals[EngineTotals]
        mark = (session.now_ns, requests.finished, tokens.prompt, sum(engines.generation_tokens))
        marks.append(mark)
        window_ns = RATE_WALL_S * session.speed * NS_PER_S
        while len(marks) > 2 and marks[1][0] <= session.now_ns - window_ns:
            marks.popleft()
        span_s = (mark[0] - marks[0][0]) / NS_PER_S
        if not span_s:
            return Rates()
        return Rates(*((now - then) / span_s for now, then in zip(mark[1:], marks[0][1:], strict=True)))


def _note_first_tokens(session: Session, message: PrefillStepped) -> None:
    first_ns = session.table.first_token_ns
    for request_id in message.prefilled_ids:
        if first_ns[request_id] == NOT_YET:
            session.first_ids.append(request_id)

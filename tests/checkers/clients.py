"""INV-13, from what a source of clients was told and said: who waits, waits for no more and no less than it says.

It counts places, ends and times, and has no part of any simulation in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.protocol.component import NEVER_NS, Outputs
from scheduler.protocol.finish import FINISHED
from scheduler.protocol.messages import ArrivalsEnded, Message, RequestsArrived, RequestsEnded, RunEnded, SessionsClosed
from tests.naive.case import NEVER, Case, Clients, delay_ns, group_of, waits_for

Call = tuple[int, Message | None, Outputs]
"""(time, what a source was told or None for a wake, what it said)."""


@dataclass
class _Group:
    """Clients of one kind: `in_flight` rows, and when each of those who have none is free."""

    number: int
    think_ns: tuple[int, ...]
    free_ns: list[int]
    in_flight: set[int] = field(default_factory=set[int])
    num_ends: int = 0


class ClientChecker:
    """Follows the calls of one source."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self._rows = range(len(case.rows))
        self._groups = {one: _group_of(one) for one in case.clients}
        self._asked = dict[int, int]()
        self._ended = dict[int, tuple[int, bool]]()
        self._closed: list[int] = []
        self._num_said_all = 0

    def check(self, calls: Sequence[Call]) -> None:
        """All calls of a run, whose last one is its end."""
        for now_ns, message, outputs in calls:
            if isinstance(message, RunEnded):
                assert not outputs
                break
            # Had anybody been free for anything before, it would have been asked for then.
            assert self._next_ns() >= now_ns, (now_ns, self._next_ns())
            if isinstance(message, RequestsEnded):
                self._on_ended(now_ns, message)
            for _, said in outputs:
                if isinstance(said, RequestsArrived):
                    assert said.arrived_ns == now_ns
                    for row in said.keys:
                        self._on_asked(now_ns, row)
                elif isinstance(said, SessionsClosed):
                    self._closed += said.sessions
                else:
                    assert isinstance(said, ArrivalsEnded)
                    self._num_said_all += 1
            assert self._next_ns() > now_ns, "a client is free, and a request that is ready was not asked for"
        self._check_end()

    def _on_asked(self, now_ns: int, row: int) -> None:
        assert row not in self._asked, f"row {row} came twice"
        assert self._ready_ns(row) <= now_ns, f"row {row} came before it was ready"
        assert not self._num_said_all, f"row {row} came after the end was said"
        self._asked[row] = now_ns
        group = self._group(row)
        if group is not None:
            free_ns = min(group.free_ns, default=NEVER_NS)
            assert free_ns <= now_ns, f"nobody was free for row {row}"
            group.free_ns.remove(free_ns)
            group.in_flight.add(row)
            assert len(group.in_flight) <= group.number

    def _on_ended(self, now_ns: int, message: RequestsEnded) -> None:
        for row, reason, ended_ns in zip(message.keys, message.reasons, message.ended_ns, strict=True):
            assert row not in self._ended, f"row {row} ended twice"
            assert self._asked[row] <= ended_ns <= now_ns
            self._ended[row] = ended_ns, reason in FINISHED
            group = self._group(row)
            if group is not None:
                group.in_flight.remove(row)
                group.free_ns.append(ended_ns + group.think_ns[group.num_ends % len(group.think_ns)])
                group.num_ends += 1

    def _group(self, row: int) -> _Group | None:
        one = group_of(self.case, row)
        return None if one is None else self._groups[one]

    def _never_comes(self, row: int) -> bool:
        """Something before it ended without its whole answer, or never comes."""
        return any(
            not self._ended.get(before, (0, True))[1] or self._never_comes(before)
            for before in waits_for(self.case, row)
        )

    def _ready_ns(self, row: int) -> int:
        """`NEVER_NS` where that is not known, or it never comes."""
        befores = waits_for(self.case, row)
        if not befores:
            return 0 if self.case.clients else self.case.rows[row].arrived_ns
        if not all(self._ended.get(before, (0, False))[1] for before in befores):
            return NEVER_NS
        return max(self._ended[before][0] for before in befores) + delay_ns(self.case, row)

    def _next_ns(self) -> int:
        """When the next row is to be asked for, by what is known now."""
        next_ns = NEVER_NS
        for row in self._rows:
            if row not in self._asked:
                group = self._group(row)
                free_ns = 0 if group is None else min(group.free_ns, default=NEVER_NS)
                next_ns = min(next_ns, max(free_ns, self._ready_ns(row)))
        return next_ns

    def _check_end(self) -> None:
        """Every row came, or never could; and of each session it was said once that no more of it comes."""
        for row in self._rows:
            assert (row in self._asked) == (row in self._ended) != self._never_comes(row), f"row {row}"
        assert self._num_said_all == 1
        sessions = {row.session for row in self.case.rows} - {NEVER} if self.case.is_graph else set[int]()
        assert sorted(self._closed) == sorted(sessions)


def _group_of(one: Clients) -> _Group:
    """Nobody has asked, and each begins a little later than the one before."""
    return _Group(one.number, one.think_ns, [one.ramp_ns * client // one.number for client in range(one.number)])


def check_clients(case: Case, calls: Sequence[Call]) -> None:
    """INV-13 over all calls of the source of a case that has clients, or whose rows wait for each other."""
    if case.clients or case.is_graph:
        ClientChecker(case).check(calls)


def check_littles_law(case: Case, calls: Sequence[Call], window_ns: tuple[int, int]) -> None:
    """In flight over time is rate times time in flight: to the nanosecond over the whole run, and over any window but
    for those who were in flight at its ends."""
    begun, spans = dict[int, int](), list[tuple[int, int]]()
    events: list[tuple[int, int]] = []
    for now_ns, message, outputs in calls:
        if isinstance(message, RequestsEnded):
            events += [(now_ns, -1)] * len(message.keys)
            spans += [(begun[row], ended_ns) for row, ended_ns in zip(message.keys, message.ended_ns, strict=True)]
        for _, said in outputs:
            if isinstance(said, RequestsArrived):
                events += [(now_ns, 1)] * len(said.keys)
                begun.update(dict.fromkeys(said.keys, now_ns))
    assert _integral(events, (0, NEVER_NS)) == sum(end - begin for begin, end in spans)
    start_ns, end_ns = window_ns
    at_ends = [sum(begin < at < end for begin, end in spans) for at in window_ns]
    ended_within = sum(end - begin for begin, end in spans if start_ns < end <= end_ns)
    longest_ns = max((end - begin for begin, end in spans), default=0)
    assert abs(_integral(events, window_ns) - ended_within) <= max(at_ends) * longest_ns
    number = sum(one.number for one in case.clients)
    assert not case.clients or max(at_ends) <= number


def _integral(events: Sequence[tuple[int, int]], window_ns: tuple[int, int]) -> int:
    """Of the number in flight, which each event changes, over a window."""
    in_flight = total = last_ns = 0
    for at_ns, change in events:
        begin_ns, end_ns = (min(max(ns, window_ns[0]), window_ns[1]) for ns in (last_ns, at_ns))
        total += in_flight * (end_ns - begin_ns)
        in_flight, last_ns = in_flight + change, at_ns
    return total

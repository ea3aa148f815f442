"""Sessions numbered as they come, and what rows wait for, made of what each row says."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.errors import TraceError
from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, Links, RowKey
from scheduler.sources.traces.sessions.given import NO_TIME, GivenLinks


class Linker:
    """Makes `Links` of what rows say: sessions numbered as they come, and every delay known.

    Rows without a time get that of the last row that they wait for, as far as it was read. `TraceError` for a row that
    waits for nothing and has no time, unless none needs one, and for one of a session whose time runs back.
    """

    def __init__(self, path: str, time_field: str, *, needs_times: bool) -> None:
        self._path: Final = path
        self._time_field: Final = time_field
        self._needs_times: Final = needs_times
        self._numbers: Final[dict[RowKey, int]] = {}
        self._num_sessions = 0
        # Of the last row of each session, by number, and of each row that has a name.
        self._last_ns: Final[dict[int, int]] = {}
        self._named: Final[dict[RowKey, tuple[int, int]]] = {}
        self._last_time_ns = 0

    def take(self, given: list[GivenLinks], lines: list[int], times_ns: list[int]) -> Links:
        """The links of the next rows; times that lack are put into `times_ns`."""
        links = Links()
        for row, (said, line) in enumerate(zip(given, lines, strict=True)):
            time_ns = times_ns[row]
            if said.waits_for is None:
                session, time_ns, delay_ns = self._turn(said, line, time_ns)
                waits_for = None
            elif said.has_parent:
                session, time_ns, delay_ns, waits_for = self._child(said, line, time_ns)
            else:
                session, waits_for = self._number(said.session), said.waits_for
                time_ns = self._time_of_call(said, line, time_ns)
                delay_ns = said.delay_ns if waits_for else 0
            if said.key is not None:
                self._named[said.key] = (time_ns, session)
            times_ns[row] = self._last_time_ns = time_ns
            links.sessions.append(session)
            links.keys.append(said.key)
            links.waits_for.append(waits_for)
            links.delays_ns.append(delay_ns)
            links.lines.append(line)
            links.resets.append(said.is_reset)
        return links

    def _number(self, session: RowKey) -> int:
        """Of a session, which is new if it has no number yet."""
        if session is None:
            return NO_SESSION
        number = self._numbers.setdefault(session, self._num_sessions)
        self._num_sessions += number == self._num_sessions
        return number

    def _turn(self, said: GivenLinks, line: int, time_ns: int) -> tuple[int, int, int]:
        """Session, time and delay of a row that follows the one before of its session."""
        if said.session is None:
            return NO_SESSION, self._time_of_root(line, time_ns), 0
        session = self._number(said.session)
        before_ns = self._last_ns.get(session)
        if before_ns is None:
            time_ns, delay_ns = self._time_of_root(line, time_ns), 0
        else:
            time_ns, delay_ns = self._after(before_ns, said.delay_ns, line, time_ns, "its session")
        self._last_ns[session] = time_ns
        return session, time_ns, delay_ns

    def _child(self, said: GivenLinks, line: int, time_ns: int) -> tuple[int, int, int, list[RowKey]]:
        """The same of a row with a parent, or with one that is not in the trace; and what it waits for."""
        assert said.waits_for is not None
        parent = self._named.get(said.waits_for[0]) if said.waits_for else None
        if parent is None:
            self._num_sessions += 1
            return self._num_sessions - 1, self._time_of_root(line, time_ns), 0, []
        before_ns, session = parent
        time_ns, delay_ns = self._after(before_ns, said.delay_ns, line, time_ns, "its parent")
        return session, time_ns, delay_ns, said.waits_for

    def _after(self, before_ns: int, delay_ns: int, line: int, time_ns: int, before: str) -> tuple[int, int]:
        """Time and delay of a row, known the time of the one before it."""
        if time_ns == NO_TIME:
            if delay_ns == DELAY_NOT_GIVEN and self._needs_times:
                problem = "is missing, and so is a delay"
                raise self._error(line, problem, "give a delay after the turn before, or the time of each turn")
            return before_ns, max(0, delay_ns)
        if time_ns < before_ns:
            problem = f"time runs back by {(before_ns - time_ns) / 1e9:g} s from the row before of {before}"
            raise self._error(line, problem, "put the rows of a session in the order of their turns")
        return time_ns, time_ns - before_ns if delay_ns == DELAY_NOT_GIVEN else delay_ns

    def _time_of_root(self, line: int, time_ns: int) -> int:
        if time_ns == NO_TIME and self._needs_times:
            problem = "is missing, and the row waits for no other"
            raise self._error(line, problem, "give the time of the first turn of each session, or say --concurrency")
        return self._last_time_ns if time_ns == NO_TIME else time_ns

    def _time_of_call(self, said: GivenLinks, line: int, time_ns: int) -> int:
        if time_ns != NO_TIME or not said.waits_for:
            return self._time_of_root(line, time_ns)
        known = [self._named[key][0] for key in said.waits_for if key in self._named]
        return max(known, default=self._last_time_ns)

    def _error(self, line: int, problem: str, fix: str) -> TraceError:
        return TraceError(self._path, line, self._time_field, problem, fix)

"""Which request waits for which: a whole trace as columns, with who follows on each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct, field

from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import TraceError
from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock, Links, RowKey

MAX_PROMPT_TOKENS: Final = 10**7
"""Of a prompt that holds all before it: beyond it a session has grown without end."""

NUM_NAMED: Final = 6
"""Rows of a circle that an error names."""

_NOBODY: Final[tuple[int, ...]] = ()


class RequestGraph(Struct, frozen=True):
    """All rows of a trace as parallel columns, by row number.

    `num_waits[i]`: of how many rows the end must have come, `followers[i]` who waits for the end of row i, and
    `delays_ns[i]` how long after the last of those ends row i is ready; rows that wait for nobody are ready at
    `arrived_ns[i]`. All others are columns of `ArrivalBlock` and `Links`.
    """

    rows: ArrivalBlock
    sessions: list[int]
    num_waits: list[int]
    delays_ns: list[int]
    followers: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    @classmethod
    def of(cls, blocks: Iterable[ArrivalBlock], name: str = "trace") -> RequestGraph:
        """The graph of a trace whose blocks have links; `name` is the trace's in errors.

        TraceError for rows that cannot be played so: a name that is given twice or that no row has, a circle, a delay
        below zero, a context that shrinks from turn to turn, or grows beyond `MAX_PROMPT_TOKENS`.
        """
        rows, links = ArrivalBlock([], [], [], [], []), Links()
        for block in blocks:
            assert block.links is not None, "a graph is of blocks that were read with links"
            rows.extend(block)
            links.extend(block.links)
        befores = _Befores(name, rows, links).of_all()
        followers: dict[int, list[int]] = {}
        for row, waits_for in enumerate(befores):
            for before in waits_for:
                followers.setdefault(before, []).append(row)
        graph = cls(rows, links.sessions, list(map(len, befores)), links.delays_ns, followers)
        graph._know_delays(befores)
        if any(waits_for and max(waits_for) > row for row, waits_for in enumerate(befores)):
            _refuse_circle(graph, befores, links, name)
        return graph

    def _know_delays(self, befores: Sequence[Sequence[int]]) -> None:
        """Where no delay is given, it is the time between the rows in the trace."""
        times_ns = self.rows.arrived_ns
        for row, delay_ns in enumerate(self.delays_ns):
            if delay_ns == DELAY_NOT_GIVEN:
                since_ns = max((times_ns[before] for before in befores[row]), default=times_ns[row])
                self.delays_ns[row] = max(0, times_ns[row] - since_ns)


class _Befores:
    """Finds the rows that each row waits for, and holds that they can be meant."""

    def __init__(self, name: str, rows: ArrivalBlock, links: Links) -> None:
        self._name: Final = name
        self._prompt_tokens: Final = rows.prompt_tokens
        self._links: Final = links

    def of_all(self) -> list[Sequence[int]]:
        """Row numbers by row, each once."""
        links, prompt_tokens = self._links, self._prompt_tokens
        row_of = self._rows_by_key()
        last_of_session: dict[int, int] = {}
        befores: list[Sequence[int]] = []
        for row, (session, names) in enumerate(zip(links.sessions, links.waits_for, strict=True)):
            if names is None:
                before = last_of_session.get(session) if session != NO_SESSION else None
                waits_for: Sequence[int] = _NOBODY if before is None else (before,)
            elif names:
                waits_for = self._named(row, names, row_of)
            else:
                waits_for = _NOBODY
            if session != NO_SESSION:
                last_of_session[session] = row
            befores.append(waits_for)
            if len(waits_for) == 1 and prompt_tokens[row] < prompt_tokens[waits_for[0]]:
                self._refuse_shrinking(row, waits_for[0])
        if min(links.delays_ns, default=0) < 0 or max(prompt_tokens, default=0) > MAX_PROMPT_TOKENS:
            self._refuse_numbers()
        return befores

    def _rows_by_key(self) -> dict[RowKey, int]:
        keys = self._links.keys
        row_of: dict[RowKey, int] = {key: row for row, key in enumerate(keys) if key is not None}
        if len(row_of) + keys.count(None) != len(keys):
            seen: dict[RowKey, int] = {}
            for row, key in enumerate(keys):
                if key is not None and seen.setdefault(key, row) != row:
                    first = self._links.lines[seen[key]]
                    problem = f"{shorten(key)} is given twice, first in line {first}"
                    raise self._error(row, "request_id", problem, "give each row a request_id of its own")
        return row_of

    def _named(self, row: int, names: list[RowKey], row_of: dict[RowKey, int]) -> Sequence[int]:
        waits_for: dict[int, None] = {}
        for name in names:
            before = row_of.get(name)
            if before is None:
                fix = "give the request_id of a row of this trace; --limit must not cut it off"
                raise self._error(row, "wait_for", f"{shorten(name)} is the request_id of no row", fix)
            if before == row:
                problem, fix = f"{shorten(name)} waits for itself", "name the rows that end before it begins"
                raise self._error(row, "wait_for", problem, fix)
            waits_for[before] = None
        return tuple(waits_for)

    def _refuse_shrinking(self, row: int, before: int) -> None:
        links, tokens = self._links, self._prompt_tokens
        if links.resets[row] or links.sessions[row] == NO_SESSION or links.sessions[row] != links.sessions[before]:
            return
        problem = f"{tokens[row]} tokens are fewer than the {tokens[before]} of the turn before in line "
        fix = "a context that begins anew has prefix_reset: true, rows that add to it are read with --turns delta"
        raise self._error(row, "", f"the session's context shrinks: {problem}{links.lines[before]}", fix)

    def _refuse_numbers(self) -> None:
        for row, (tokens, delay_ns) in enumerate(zip(self._prompt_tokens, self._links.delays_ns, strict=True)):
            if delay_ns < 0 and delay_ns != DELAY_NOT_GIVEN:
                raise self._error(row, "delay", f"{delay_ns / 1e6:g} ms is below zero", "give at least 0")
            if tokens > MAX_PROMPT_TOKENS:
                problem = f"its prompt has {tokens:,} tokens with all before it, more than {MAX_PROMPT_TOKENS:,}"
                raise self._error(row, "", problem, "shorten the session, or say --turns whole")

    def _error(self, row: int, field_name: str, problem: str, fix: str) -> TraceError:
        return TraceError(self._name, self._links.lines[row], field_name, problem, fix)


def _refuse_circle(graph: RequestGraph, befores: list[Sequence[int]], links: Links, name: str) -> None:
    """TraceError if some rows wait for each other in a circle."""
    num_waits = list(graph.num_waits)
    ready = [row for row, count in enumerate(num_waits) if not count]
    for before in ready:  # grows as it is read
        for row in graph.followers.get(before, ()):
            num_waits[row] -= 1
            if not num_waits[row]:
                ready.append(row)
    if len(ready) == len(num_waits):
        return
    # Each row that is left waits for another that is left, so that going back comes around.
    row, seen = next(row for row, count in enumerate(num_waits) if count), dict[int, int]()
    while row not in seen:
        seen[row] = len(seen)
        row = next(before for before in befores[row] if num_waits[before])
    circle = list(seen)[seen[row] :]
    first = circle.index(min(circle))
    circle = [*circle[first:], *circle[:first]]
    names = [shorten(_shown(links, row)) for row in circle[:NUM_NAMED]]
    more = f", and {len(circle) - NUM_NAMED} more" if len(circle) > NUM_NAMED else ""
    problem = f"{' waits for '.join([*names, *names[:1]])} (a circle of {len(circle)} rows{more})"
    raise TraceError(name, links.lines[circle[0]], "wait_for", problem, "let one of them wait for none of the others")


def _shown(links: Links, row: int) -> RowKey:
    key = links.keys[row]
    return f"the row of line {links.lines[row]}" if key is None else key

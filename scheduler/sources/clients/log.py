"""What clients leave of a run: what was to come, and, if it is kept, what each request had waited for."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct, field

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.clients.request_graph import RequestGraph


class AskedLog(Struct, frozen=True):
    """Requests in the order in which they were sent, which is that of their ids; columns as long as those.

    `rows[i]` is the row of the trace. The client that sent it was free since `free_ns[i]`, when it had thought about
    the answer of the row `freed_by[i]`; -1 for one that asks for the first time.
    """

    rows: array[int] = field(default_factory=lambda: array("i"))
    free_ns: array[int] = field(default_factory=lambda: array("q"))
    freed_by: array[int] = field(default_factory=lambda: array("i"))

    def add(self, row: int, free_ns: int, freed_by: int) -> None:
        """One more was sent."""
        self.rows.append(row)
        self.free_ns.append(free_ns)
        self.freed_by.append(freed_by)


class ClientsLog(Struct, frozen=True):
    """Of one source.

    `concurrency`: how many clients there are, by the class that they ask for; empty where nothing bounds them.
    `planned_turns[i]` is how many rows session i has, None where rows do not wait for one another. `followers` are rows
    by the row whose end they wait for, and row i comes `delays_ns[i]` after the last of these ends; both are empty
    where no row waits for another. `asked` is None where it was not to be kept.
    """

    concurrency: dict[str, int] = field(default_factory=dict[str, int])
    planned_turns: list[int] | None = None
    followers: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    delays_ns: list[int] = field(default_factory=list[int])
    asked: AskedLog | None = None

    @classmethod
    def of(cls, groups: Sequence[ClientGroup], graph: RequestGraph | None, *, keeps_asked: bool) -> ClientsLog:
        """Of these clients and rows that wait for one another, or of rows that do not."""
        concurrency = {group.class_name: group.count for group in groups}
        asked = AskedLog() if keeps_asked else None
        if graph is None:
            return cls(concurrency, asked=asked)
        planned = Counter(session for session in graph.sessions if session != NO_SESSION)
        turns = [planned[session] for session in range(max(planned, default=-1) + 1)]
        if not keeps_asked:
            return cls(concurrency, turns)
        return cls(concurrency, turns, graph.followers, graph.delays_ns, asked)

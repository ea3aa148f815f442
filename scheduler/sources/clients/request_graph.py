"""Which request waits for which: a whole trace as columns, with who follows on each row."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock, RowKey


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
    def of(cls, blocks: Iterable[ArrivalBlock]) -> RequestGraph:
        """The graph of a trace whose blocks have links."""
        rows, by_key, last_of_session = ArrivalBlock([], [], [], [], []), dict[RowKey, int](), dict[int, int]()
        blocks = list(blocks)
        for block in blocks:
            rows.extend(block)
        graph = cls(rows, [], [0] * len(rows), [])
        befores: list[list[RowKey] | None] = []
        for block in blocks:
            assert block.links is not None
            for key in block.links.keys:
                if key is not None:
                    by_key[key] = len(by_key)
            graph.sessions.extend(block.links.sessions)
            graph.delays_ns.extend(block.links.delays_ns)
            befores.extend(block.links.waits_for)
        for row, names in enumerate(befores):
            session = graph.sessions[row]
            if names is not None:
                waits_for = [by_key[name] for name in names]
            else:
                waits_for = [last_of_session[session]] if session in last_of_session else []
            if session >= 0:
                last_of_session[session] = row
            graph.num_waits[row] = len(waits_for)
            for before in waits_for:
                graph.followers.setdefault(before, []).append(row)
            if graph.delays_ns[row] == DELAY_NOT_GIVEN:
                since_ns = max((rows.arrived_ns[before] for before in waits_for), default=rows.arrived_ns[row])
                graph.delays_ns[row] = max(0, rows.arrived_ns[row] - since_ns)
        return graph

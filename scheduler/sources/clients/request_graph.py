"""Which request waits for which: a whole trace as columns, with who follows on each row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock, Links, RowKey


class RequestGraph(Struct, frozen=True):
    """All rows of a trace as parallel columns, by row number.

    `num_waits[i]`: of how many rows the end must have come, `followers[i]` who waits for the end of row i, and
    `delays_ns[i]` how long after the last of those ends row i is ready; rows that wait for nobody come at
    `rows.arrived_ns[i]`, whatever their delay. All others are columns of `ArrivalBlock` and `Links`.
    """

    rows: ArrivalBlock
    sessions: list[int]
    num_waits: list[int]
    delays_ns: list[int]
    followers: dict[int, list[int]]

    @classmethod
    def of(cls, blocks: Iterable[ArrivalBlock]) -> RequestGraph:
        """The graph of a trace whose blocks have links, which name only rows that are there."""
        rows, links = ArrivalBlock([], [], [], [], []), Links()
        for block in blocks:
            assert block.links is not None
            rows.extend(block)
            links.extend(block.links)
        waits_for, followers = _rows_waited_for(links), dict[int, list[int]]()
        for row, befores in enumerate(waits_for):
            for before in befores:
                followers.setdefault(before, []).append(row)
        delays_ns = [
            _time_between_ns(rows.arrived_ns, befores, row) if delay_ns == DELAY_NOT_GIVEN else delay_ns
            for row, (befores, delay_ns) in enumerate(zip(waits_for, links.delays_ns, strict=True))
        ]
        return cls(rows, links.sessions, [len(befores) for befores in waits_for], delays_ns, followers)


def _rows_waited_for(links: Links) -> list[list[int]]:
    """Of each row, the numbers of those whose ends it waits for."""
    by_key: dict[RowKey, int] = {key: row for row, key in enumerate(links.keys)}
    last_of_session, found = dict[int, int](), list[list[int]]()
    for row, (session, names) in enumerate(zip(links.sessions, links.waits_for, strict=True)):
        if names is not None:
            found.append([by_key[name] for name in names])
        else:
            found.append([last_of_session[session]] if session in last_of_session else [])
        if session != NO_SESSION:
            last_of_session[session] = row
    return found


def _time_between_ns(arrived_ns: Sequence[int], befores: Sequence[int], row: int) -> int:
    """As the trace has it, from the last of the rows before."""
    last_ns = max((arrived_ns[before] for before in befores), default=arrived_ns[row])
    return max(0, arrived_ns[row] - last_ns)

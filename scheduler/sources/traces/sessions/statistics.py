"""What sessions and graphs of calls are like: how many turns, how deep and how wide, how long their clients wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.clients.request_graph import RequestGraph

PERCENTILES: Final = (50, 90, 99)
NO_PREFIX: Final[list[int]] = []


class Spread(Struct, frozen=True):
    """Of some numbers, percentiles between neighbours in a line; all 0 if there are none."""

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of these."""
        if not values:
            return cls()
        p50, p90, p99 = np.percentile(np.array(values, np.float64), PERCENTILES).tolist()
        return cls(len(values), float(np.mean(values)), p50, p90, p99, float(max(values)))

    def shown(self) -> str:
        """Mean, p90 and maximum for a table."""
        return " / ".join(f"{value:,.4g}" for value in (self.mean, self.p90, self.max))


class SessionStatistics(Struct, frozen=True):
    """`turns`: requests of each session. `depth`: of each request that begins something, how many requests follow each
    other at most from it on, itself included. `fan_out`: of requests after which several come, how many; `joins`: of
    requests that wait for several, for how many. `waits_s`: between the ends that a request waits for and itself."""

    sessions: int
    requests_without_session: int
    roots: int
    turns: Spread
    depth: Spread
    fan_out: Spread
    joins: Spread
    waits_s: Spread

    def rows(self) -> list[tuple[str, str]]:
        """(what, figure) for a table."""
        joined = f"{self.fan_out.count:,} and {self.joins.count:,}"
        shown = [
            ("turns", self.turns),
            ("depth", self.depth),
            ("fan-out", self.fan_out),
            ("joined", self.joins),
            ("waits in s", self.waits_s),
        ]
        return [
            ("number of sessions", f"{self.sessions:,}"),
            ("requests of no session", f"{self.requests_without_session:,}"),
            ("requests that wait for nobody", f"{self.roots:,}"),
            ("requests that branch, that join", joined),
            *((f"{what}, mean / p90 / max", spread.shown()) for what, spread in shown if spread.count),
        ]


class SessionTally:
    """Takes blocks with links; memory grows with requests."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._blocks: list[ArrivalBlock] = []

    def add(self, block: ArrivalBlock) -> None:
        """Take the next rows."""
        self._blocks.append(replace(block, prefixes=[NO_PREFIX] * len(block), classes=[], answers=[]))

    def statistics(self) -> SessionStatistics | None:
        """Of all rows; None if there were none with links. TraceError if they cannot be played."""
        if not self._blocks:
            return None
        graph = RequestGraph.of(self._blocks, self._name)
        turns = Counter(session for session in graph.sessions if session != NO_SESSION)
        fan_out = [len(rows) for rows in graph.followers.values() if len(rows) > 1]
        pairs = zip(graph.num_waits, graph.delays_ns, strict=True)
        return SessionStatistics(
            sessions=len(turns),
            requests_without_session=len(graph.sessions) - turns.total(),
            roots=graph.num_waits.count(0),
            turns=Spread.of(list(turns.values())),
            depth=Spread.of(_depths(graph)),
            fan_out=Spread.of(fan_out),
            joins=Spread.of([count for count in graph.num_waits if count > 1]),
            waits_s=Spread.of([delay_ns / 1e9 for count, delay_ns in pairs if count]),
        )


def _depths(graph: RequestGraph) -> list[int]:
    """Of each row that waits for nobody, the requests of the longest way from it."""
    num_waits = list(graph.num_waits)
    order = [row for row, count in enumerate(num_waits) if not count]
    roots = len(order)
    for before in order:  # grows as it is read
        for row in graph.followers.get(before, ()):
            num_waits[row] -= 1
            if not num_waits[row]:
                order.append(row)
    depths = [1] * len(num_waits)
    for row in reversed(order):
        followers = graph.followers.get(row)
        if followers:
            depths[row] = 1 + max(depths[follower] for follower in followers)
    return [depths[row] for row in order[:roots]]

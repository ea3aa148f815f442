"""Small traces for clients to play."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.arrivals import ArrivalBlock, Links, RowKey

Link = tuple[int, RowKey, list[RowKey] | None, int]
"""(session, key, what it waits for, delay) of a row."""


def block_of(
    arrived_ns: Sequence[int],
    classes: Sequence[str] = (),
    tenants: Sequence[int] = (),
    links: Sequence[Link] = (),
    first: int = 0,
) -> ArrivalBlock:
    """Rows whose prompts are numbered from 100, so that each can be told from the others."""
    num_rows = len(arrived_ns)
    joined = None
    if links:
        sessions, keys, waits_for, delays_ns = zip(*links)
        joined = Links(list(sessions), list(keys), list(waits_for), list(delays_ns), [0] * num_rows, [True] * num_rows)
    return ArrivalBlock(
        list(arrived_ns),
        [100 + first + row for row in range(num_rows)],
        [1] * num_rows,
        [[] for _ in range(num_rows)],
        list(tenants) or [0] * num_rows,
        list(classes),
        links=joined,
    )


def turn(session: int = NO_SESSION, key: RowKey = None, delay_ns: int = 0) -> Link:
    """A row that waits for the one before of its session."""
    return session, key, None, delay_ns


def after(*names: RowKey, key: RowKey = None, delay_ns: int = 0, session: int = NO_SESSION) -> Link:
    """A row that waits for these."""
    return session, key, list(names), delay_ns

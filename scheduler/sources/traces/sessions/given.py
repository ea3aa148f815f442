"""What one row says of the rows that it waits for."""

from __future__ import annotations

from typing import Final, NamedTuple

from scheduler.sources.arrivals import DELAY_NOT_GIVEN, RowKey

NO_TIME: Final = -1
"""In place of the time of a row that gives none."""


class GivenLinks(NamedTuple):
    """`waits_for` None: for the row before of its session; `has_parent`: its only entry is the turn that it goes on
    from, which may have been left out of the trace. `delay_ns` may be `DELAY_NOT_GIVEN`. `is_reset`: its context
    begins anew."""

    session: RowKey
    key: RowKey = None
    waits_for: list[RowKey] | None = None
    delay_ns: int = DELAY_NOT_GIVEN
    is_reset: bool = False
    has_parent: bool = False

"""What a live system has come to at one instant: the totals of every subject, by their type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct, field

from scheduler.metrics.layout import Layout

TotalsT = TypeVar("TotalsT")


class Rates(Struct, frozen=True):
    """Per second of emulated time, over the last ten seconds or so on the wall; 0 between sessions."""

    requests_per_s: float = 0.0
    input_tokens_per_s: float = 0.0
    output_tokens_per_s: float = 0.0


class Snapshot(Struct, frozen=True):
    """Totals since the system came up, over all its sessions, and how it stands now; every number is finite.

    `snapshot[FabricTotals]` is what the subject with totals of that type has come to. Times are emulated seconds unless
    a name says wall.
    """

    layout: Layout
    totals: Mapping[type, Any]
    rates: Rates = field(default_factory=Rates)

    def __getitem__(self, kind: type[TotalsT]) -> TotalsT:
        return self.totals[kind]

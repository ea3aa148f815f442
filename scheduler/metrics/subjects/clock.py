"""The clock of a system: emulated time, its pace, how replays ended, how late messages were on the wall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from scheduler.metrics.bucket_bounds import HOP_BOUNDS_S
from scheduler.metrics.buckets import HistogramTotals
from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.family import Family, HistogramFamily, by_value
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject

RUN_OUTCOMES: Final = ("completed", "interrupted", "failed")
"""How a replay ends, in the order of `ClockTotals.runs`."""


class ClockTotals(Struct, frozen=True):
    """`speed`: emulated seconds per second on the wall, 0 between sessions. `is_replaying`: this is no idle time."""

    emulated_s: float
    speed: float
    is_replaying: bool
    runs: tuple[int, ...]
    hop_wall_s: HistogramTotals


class ClockAccount(Account[ClockTotals]):
    """Adds up the time of sessions, and the lateness of their messages."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._past_ns = 0
        self._runs = dict.fromkeys(RUN_OUTCOMES, 0)
        self._hop_wall_s = HistogramTotals((0,) * (len(HOP_BOUNDS_S) + 1), 0.0)

    def end(self, session: Session) -> None:
        """A replay counts by how it ended."""
        self._hop_wall_s = self._hops_with(session)
        self._past_ns += session.now_ns
        self._runs[session.outcome] += session.is_replay

    def totals(self, session: Session | None) -> ClockTotals:
        """As they stand."""
        runs = tuple(self._runs.values())
        if session is None:
            return ClockTotals(self._past_ns / NS_PER_S, 0.0, False, runs, self._hop_wall_s)
        emulated_s = (self._past_ns + session.now_ns) / NS_PER_S
        return ClockTotals(emulated_s, session.speed, session.is_replay, runs, self._hops_with(session))

    def _hops_with(self, session: Session) -> HistogramTotals:
        """Lateness of all messages, those of this session included."""
        past, lateness = self._hop_wall_s, session.lateness
        if lateness is None:
            return past
        ns_per_wall_s = NS_PER_S * session.speed
        counts = [*lateness.num_within([bound * ns_per_wall_s for bound in HOP_BOUNDS_S]), lateness.num_samples]
        total = tuple(before + more for before, more in zip(past.counts, counts, strict=True))
        return HistogramTotals(total, past.sum_s + lateness.sum_ns / ns_per_wall_s)


def _summary(run: EndedRun) -> Mapping[str, Any]:
    info = run.info
    return {
        "simulated_s": run.span_s,
        "wall_s": info.wall_s,
        "seed": info.seed,
        "config_digest": info.config_digest,
    }


FAMILIES: Final = (
    Family(
        "supernode_build_info", "gauge", "Always 1; the version is its label.",
        lambda _: (1,), ("version",), lambda layout: ((layout.version,),),
    ),
    Family(
        "supernode_emulated_seconds_total", "counter",
        "Emulated time that has passed, idle time included; at speed N it grows N times as fast as the wall clock.",
        lambda s: (s[ClockTotals].emulated_s,),
    ),
    Family(
        "supernode_speed_ratio", "gauge", "Emulated seconds per wall second now; 0 between two sessions.",
        lambda s: (s[ClockTotals].speed,),
    ),
    Family(
        "supernode_run_active", "gauge", "1 while a replay runs, else 0.", lambda s: (int(s[ClockTotals].is_replaying),)
    ),
    Family(
        "supernode_runs_total", "counter", "Replays by how they ended.",
        lambda s: s[ClockTotals].runs, ("outcome",), by_value(*RUN_OUTCOMES),
    ),
    HistogramFamily(
        "supernode_hop_wall_seconds", "Lateness of messages between processes, on the wall.",
        HOP_BOUNDS_S, lambda s: (s[ClockTotals].hop_wall_s,),
    ),
)  # fmt: skip

SUBJECTS.register("clock", Subject(ClockTotals, ClockAccount, FAMILIES, _summary))

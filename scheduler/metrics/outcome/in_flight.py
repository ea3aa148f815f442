"""How many requests were open over time, from when each arrived and ended; exact, since nothing is sampled."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Floats, Ints


class InFlight(Struct, frozen=True):
    """Requests open from each instant at which their number changed until the next, shape (num_changes,) each.

    What arrives and ends at one instant leaves the number that there is after all of it.
    """

    at_ns: Ints
    num_open: Ints

    @property
    def peak(self) -> int:
        """The most at once."""
        return int(self.num_open.max(initial=0))

    def mean(self, span_ns: int) -> float | None:
        """Over the time from 0 to `span_ns`; None if that is none."""
        if span_ns <= 0:
            return None
        edges_ns = np.append(self.at_ns, span_ns)
        return float(np.dot(self.num_open, np.diff(edges_ns))) / span_ns

    def in_steps(self, edges_s: Floats) -> Floats:
        """Mean of each step between two edges, shape (num_edges - 1,)."""
        if not len(self.at_ns):
            return np.zeros(len(edges_s) - 1)
        at_s = self.at_ns / NS_PER_S
        area = np.concatenate([[0.0], np.cumsum(self.num_open[:-1] * np.diff(at_s))])
        place = np.searchsorted(at_s, edges_s, side="right") - 1
        until = np.where(place >= 0, area[place] + self.num_open[place] * (edges_s - at_s[place]), 0.0)
        return np.diff(until) / np.diff(edges_s)


def in_flight(arrived_ns: Ints, ended_ns: Ints) -> InFlight:
    """Of requests that arrived and ended at these times, shape (num_requests,) each; times before 0 count as 0."""
    times_ns = np.maximum(np.concatenate([arrived_ns, ended_ns]), 0)
    changes = np.concatenate([np.ones(len(arrived_ns), np.int64), -np.ones(len(ended_ns), np.int64)])
    at_ns, place = np.unique(times_ns, return_inverse=True)
    return InFlight(at_ns, np.cumsum(np.bincount(place, changes, len(at_ns))).astype(np.int64))

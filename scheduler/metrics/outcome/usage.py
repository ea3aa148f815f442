"""Busy time and energy of instances, bytes and times on the planes: sums and peaks over logged rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from scheduler.metrics.columns import NS_PER_S, Floats, Ints, Rows, parts

WINDOW_NS: Final = 1_000_000_000
"""Length of the windows among which the peak of a plane is sought."""

MAX_WINDOWS: Final = 1_000_000
"""Bound on their number, whatever the span of a run: beyond eleven days they get longer."""


@dataclass(frozen=True, slots=True)
class InstanceTotals:
    """Busy nanoseconds and joules by instance, and the highest power of all instances together."""

    busy_ns: Ints
    joules: Floats
    peak_watts: float


def instance_totals(rows: Rows, num_instances: int) -> InstanceTotals:
    """Sum up `USAGE_ROW` rows; `peak_watts` says what it takes for granted."""
    busy_ns = np.zeros(num_instances, np.int64)
    joules = np.zeros(num_instances)
    for part in parts(len(rows)):
        instance = rows["instance"][part]
        # A part's nanoseconds are exact as floats up to 2**53, a hundred days of busy time.
        busy_ns += np.bincount(instance, rows["busy_ns"][part], minlength=num_instances).astype(np.int64)
        joules += np.bincount(instance, rows["joules"][part], minlength=num_instances)
    return InstanceTotals(busy_ns, joules, peak_watts(rows, num_instances))


def with_powerless_gaps(rows: Rows) -> Rows:
    """`USAGE_ROW` rows in the order of their ends, with a row of no energy wherever an account does not join the one
    before, or the first not time 0: there a worker was lost, and the next is that of a new incarnation."""
    in_order = rows[np.lexsort((rows["start_ns"], rows["instance"]))]
    instance = in_order["instance"]
    is_first = np.diff(instance, prepend=-1) != 0
    joins_ns = np.where(is_first, 0, np.roll(in_order["end_ns"], 1))
    is_gap = joins_ns < in_order["start_ns"]
    gaps = np.zeros(int(is_gap.sum()), rows.dtype)
    gaps["instance"] = instance[is_gap]
    gaps["start_ns"] = joins_ns[is_gap]
    gaps["end_ns"] = in_order["start_ns"][is_gap]
    together = np.concatenate([rows, gaps])
    return together[np.argsort(together["end_ns"], kind="stable")]


def peak_watts(rows: Rows, num_instances: int) -> float:
    """Highest sum over instances of their power (`fleet_power`)."""
    return max((float(watts.max()) for watts, _ in fleet_power(rows, num_instances)), default=0.0)


def fleet_power(rows: Rows, num_instances: int) -> Iterator[tuple[Floats, Ints]]:
    """Sums over instances of their power, each constant between two of its reports: watts and for how many nanoseconds,
    from the last instant back to time 0, some thousand at a time.

    The account of an instance begins at time 0 and joins seamlessly from row to row (`with_powerless_gaps` sees to that
    where workers were lost), so walking back through time its power changes at the end of each of its rows, from that
    of its later row. Rows come in the order of their ends, as the virtual runtime reports them; live reports overtake
    one another, which sorting within a part puts right.
    """
    watts_now = np.zeros(num_instances)
    pending_watts = 0.0
    pending_ns = -1
    for part in reversed(list(parts(len(rows)))):
        ended = rows[part][::-1]
        ended = ended[ended["end_ns"] > ended["start_ns"]]
        ended = ended[np.argsort(-ended["end_ns"], kind="stable")]
        if not len(ended):
            continue
        end_ns = np.ascontiguousarray(ended["end_ns"])
        watts = ended["joules"] / ((end_ns - ended["start_ns"]) / NS_PER_S)
        totals = pending_watts + np.cumsum(_changes(ended["instance"], watts, watts_now))
        # Within one instant some have changed and others not yet: only its last total was ever drawn, and whether
        # the last row of a part ends an instant shows in the next part.
        is_drawn = np.diff(end_ns) != 0
        ends_ns, drawn = end_ns[:-1][is_drawn], totals[:-1][is_drawn]
        if end_ns[0] != pending_ns and pending_ns >= 0:
            ends_ns, drawn = np.append(pending_ns, ends_ns), np.append(pending_watts, drawn)
        pending_watts, pending_ns = float(totals[-1]), int(end_ns[-1])
        if len(ends_ns):
            yield drawn, ends_ns - np.append(ends_ns[1:], pending_ns)
    if pending_ns > 0:
        yield np.array([pending_watts]), np.array([pending_ns])


def _changes(instance: Ints, watts: Floats, watts_now: Floats) -> Floats:
    """By how much each row changes the power of its instance; `watts_now` is moved on to the last rows."""
    order = np.argsort(instance, kind="stable")
    instance, in_order = instance[order], watts[order]
    is_first = np.diff(instance, prepend=-1) != 0
    before = np.roll(in_order, 1)
    before[is_first] = watts_now[instance[is_first]]
    is_last = np.roll(is_first, -1)
    watts_now[instance[is_last]] = in_order[is_last]
    changes = np.empty_like(watts)
    changes[order] = in_order - before
    return changes


@dataclass(frozen=True, slots=True)
class PlaneTotals:
    """Bytes of a plane, and the rate in that of its windows in which most of them moved."""

    num_bytes: int
    peak_bytes_per_s: float


def plane_totals(rows: Rows, simulated_ns: int) -> PlaneTotals:
    """Sum up `TRANSFER_ROW` rows of one plane, a transfer's bytes spread evenly over its time.

    Windows last 1 s from time 0 (longer in a run of over a million seconds); what is left at the end belongs to the
    last, and a shorter run is one window. So none is short enough to show a peak by chance, and no mean is above it.
    `duration_ns` leaves out what flowed hidden behind a prefill pass, so that those bytes count a little late, and
    denser than they were.
    """
    in_window = bytes_in_windows(rows, simulated_ns)
    return PlaneTotals(int(rows["num_bytes"].sum()), peak_bytes_per_s(in_window, simulated_ns))


def bytes_in_windows(rows: Rows, simulated_ns: int) -> Floats:
    """Bytes in each of the windows that `plane_totals` tells of."""
    window_ns, num_windows = _windows(simulated_ns)
    in_window = np.zeros(num_windows)
    for part in parts(len(rows)):
        _add_bytes_in_windows(rows[part], in_window, window_ns)
    return in_window


def peak_bytes_per_s(in_window: Floats, simulated_ns: int) -> float:
    """The highest rate of any window; 0 for a run of no time."""
    if not simulated_ns:
        return 0.0
    window_ns, num_windows = _windows(simulated_ns)
    lengths_s = np.full(num_windows, window_ns / NS_PER_S)
    lengths_s[-1] = (simulated_ns - window_ns * (num_windows - 1)) / NS_PER_S
    return float((in_window / lengths_s).max())


def _windows(simulated_ns: int) -> tuple[int, int]:
    """Length and number of the windows of a run."""
    window_ns = max(WINDOW_NS, -(-simulated_ns // MAX_WINDOWS))
    return window_ns, max(1, simulated_ns // window_ns)


def plane_durations(rows: Rows) -> Iterator[tuple[Floats, Floats]]:
    """(durations in ns, ones) of the transfers of a plane, some thousand at a time."""
    for part in parts(len(rows)):
        yield rows["duration_ns"][part].astype(np.float64), np.ones(part.stop - part.start)


def _add_bytes_in_windows(rows: Rows, in_window: Floats, window_ns: int) -> None:
    """Add bytes to their windows; a transfer that crosses an edge is cut into one piece per window."""
    num_windows = len(in_window)
    num_bytes, end_ns = rows["num_bytes"], rows["done_ns"]
    start_ns = end_ns - rows["duration_ns"]
    first = np.minimum(start_ns // window_ns, num_windows - 1)
    num_touched = np.minimum(end_ns // window_ns, num_windows - 1) - first + 1
    _add(in_window, first, np.where(num_touched == 1, num_bytes, 0))
    crossing = np.flatnonzero(num_touched > 1)
    if not len(crossing):
        return
    pieces = num_touched[crossing]
    row = np.repeat(crossing, pieces)
    window = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    window_end_ns = np.where(window == num_windows - 1, end_ns[row], (window + 1) * window_ns)
    piece_ns = np.minimum(end_ns[row], window_end_ns) - np.maximum(start_ns[row], window * window_ns)
    _add(in_window, window, num_bytes[row] * (piece_ns / (end_ns[row] - start_ns[row])))


def _add(in_window: Floats, window: Ints, num_bytes: Ints | Floats) -> None:
    """Add to the windows that were touched only: a part of a long run touches few of its many."""
    lowest = int(window.min())
    added = np.bincount(window - lowest, num_bytes)
    in_window[lowest : lowest + len(added)] += added

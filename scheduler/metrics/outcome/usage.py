"""Busy time and energy of instances, and the power of the whole fleet: sums and a sweep over logged rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Bools, Floats, Ints, Rows, parts


class UsageTotals(Struct, frozen=True):
    """Busy nanoseconds and joules by instance, shape (num_instances,) each, and the highest power of all together."""

    busy_ns: Ints
    joules: Floats
    peak_watts: float


def usage_totals(rows: Rows, num_instances: int) -> UsageTotals:
    """Sum up `USAGE_ROW` rows, shape (num_accounts,); `fleet_power` says what the peak takes for granted."""
    busy_ns = np.zeros(num_instances, np.int64)
    joules = np.zeros(num_instances)
    for part in parts(len(rows)):
        instance = rows["instance"][part]
        # A part's nanoseconds are exact as floats up to 2**53, a hundred days of busy time.
        busy_ns += np.bincount(instance, rows["busy_ns"][part], minlength=num_instances).astype(np.int64)
        joules += np.bincount(instance, rows["joules"][part], minlength=num_instances)
    return UsageTotals(busy_ns, joules, peak_watts(rows, num_instances))


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


def with_idle_gaps(rows: Rows, empty_w: Floats, end_ns: int) -> Rows:
    """`USAGE_ROW` rows whose accounts join from time 0 to `end_ns`, shape (num_accounts + num_gaps,): wherever an
    instance is not there its NPUs draw what empty ones do, `empty_w` by instance.

    Where instances share NPUs this counts some several times: whoever sums up takes away so many that never draw.
    """
    joined = with_powerless_gaps(rows)
    last_ns = np.zeros(len(empty_w), np.int64)
    np.maximum.at(last_ns, joined["instance"], joined["end_ns"])
    absent = np.flatnonzero(last_ns < end_ns)
    ends = np.zeros(len(absent), rows.dtype)
    ends["instance"], ends["start_ns"], ends["end_ns"] = absent, last_ns[absent], end_ns
    whole = np.concatenate([joined, ends])
    span_s = (whole["end_ns"] - whole["start_ns"]) / NS_PER_S
    idle_j = empty_w[whole["instance"]] * span_s
    whole["joules"] = np.where(is_gap(whole), idle_j, whole["joules"])
    return whole[np.argsort(whole["end_ns"], kind="stable")]


def is_gap(rows: Rows) -> Bools:
    """Which rows stand for a time in which an instance was not there, shape (num_rows,)."""
    return (rows["joules"] == 0.0) & (rows["busy_ns"] == 0)


def powered_ns(rows: Rows) -> Ints:
    """Length of rows, shape (num_rows,), 0 of those that stand for a lost worker."""
    return np.where(is_gap(rows), 0, rows["end_ns"] - rows["start_ns"])


def peak_watts(rows: Rows, num_instances: int) -> float:
    """Highest sum over instances of their power (`fleet_power`)."""
    return max((float(watts.max()) for watts, _ in fleet_power(rows, num_instances)), default=0.0)


def fleet_power(rows: Rows, num_instances: int) -> Iterator[tuple[Floats, Ints]]:
    """The power of all instances together, from the last instant back to time 0, some thousand spans at a time.

    Yields (watts, lengths in ns), shape (num_spans,) each; power is constant in a span, as it is between two reports.

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
    """By how much each row changes the power of its instance, shape (num_rows,).

    `watts_now`, shape (num_instances,), is moved on to the last rows.
    """
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

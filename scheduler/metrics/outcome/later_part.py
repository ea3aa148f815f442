"""The logged rows of the later part of a run, as if it had begun at an instant: cut there, and its times from there.

What spans the instant: of an account the share of its time that is later, power being constant within one; of a run of
steps those that begin later; of a transfer all, since it counts when it ends.
"""

from __future__ import annotations

import numpy as np

from scheduler.metrics.columns import Ints, Rows


def later_usage(rows: Rows, at_ns: int) -> Rows:
    """Of `USAGE_ROW` rows, shape (num_accounts,)."""
    later = rows[(rows["end_ns"] > at_ns) | (rows["start_ns"] >= at_ns)].copy()
    spans = later["start_ns"] < at_ns
    whole_ns = (later["end_ns"] - later["start_ns"])[spans]
    share = (later["end_ns"][spans] - at_ns) / whole_ns
    later["busy_ns"][spans] = np.rint(later["busy_ns"][spans] * share)
    later["joules"][spans] *= share
    later["start_ns"][spans] = at_ns
    later["start_ns"] -= at_ns
    later["end_ns"] -= at_ns
    return later


def later_runs(rows: Rows, at_ns: int) -> Rows:
    """Of `RUN_ROW` rows, shape (num_runs,)."""
    began_ns = rows["boundary_ns"] - rows["steps_ns"]
    later = rows[began_ns >= at_ns]
    spanning = [cut for row in rows[(began_ns < at_ns) & (rows["boundary_ns"] > at_ns)] if len(cut := _cut(row, at_ns))]
    together = np.concatenate([*spanning, later])
    together["boundary_ns"] -= at_ns
    return together


def _cut(row: Rows, at_ns: int) -> Rows:
    """The steps of one run that begin from an instant on, as a run, shape (1,); shape (0,) without any."""
    num_steps, begin_ns = int(row["num_steps"]), int(row["boundary_ns"] - row["steps_ns"])
    # Lengths go in a straight line from the first to the last, about the mean (`gaps`).
    shape = np.linspace(float(row["first_step_ns"]), float(row["last_step_ns"]), num_steps)
    lengths = shape * (float(row["steps_ns"]) / shape.sum()) if shape.sum() else np.zeros(num_steps)
    starts = begin_ns + np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    num_before = int(np.searchsorted(starts, at_ns))
    cut: Rows = np.array([row])
    if num_before == num_steps:
        return cut[:0]
    cut["num_steps"] = num_steps - num_before
    cut["steps_ns"] = round(float(lengths[num_before:].sum()))
    cut["first_step_ns"] = round(float(lengths[num_before]))
    return cut


def later_events(rows: Rows, at_ns: int, field: str) -> Rows:
    """Of rows that each are of one instant, that in `field`."""
    later = rows[rows[field] >= at_ns].copy()
    later[field] -= at_ns
    return later


def later_times(times_ns: Ints, at_ns: int, missing: int) -> Ints:
    """Times from an instant on, those before it below 0; `missing` stays, and no other becomes it."""
    shifted = times_ns - at_ns
    shifted[shifted == missing] = missing - 1  # a nanosecond before the instant is as good as two
    return np.where(times_ns == missing, missing, shifted)

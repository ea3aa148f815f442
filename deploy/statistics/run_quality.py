"""Runs whose figures mean little: those that never came to rest, and those too short for their percentiles."""

from __future__ import annotations

from typing import Final

import numpy as np

from scheduler.metrics.records import Records

NUM_PARTS: Final = 10
"""Of the run, by arrival."""

TREND: Final = 0.73
"""Kendall's tau of ten values above which no more than 1 in 500 orders by chance lies (Kaarsemaker and van Wijngaarden,
"Tables for use in rank correlation", Statistica Neerlandica 7, 1953: S = 33 of 45 at 0.0012 to one side)."""

MIN_BEYOND: Final = 10
"""Requests above a percentile below which it is one outlier's figure rather than the run's."""

P99: Final = 0.99


def quality_lines(records: Records) -> list[str]:
    """Lines for a person; none where the figures can be taken as they are."""
    return [*_saturated(records), *_too_short(records)]


def _saturated(records: Records) -> list[str]:
    """Waits that grow from part to part are those of a queue without end: a longer trace has worse figures."""
    if records.num_requests < NUM_PARTS * MIN_BEYOND:
        return []
    wait_s = records.queue_s + np.nan_to_num(records.hand_over_s)
    parts = [part[~np.isnan(part)] for part in np.array_split(wait_s, NUM_PARTS)]
    if not all(map(len, parts)):
        return []
    waits_s = [float(np.median(part)) for part in parts]
    served_s = float(np.nanmedian(records.prefill_s))
    if _tau(waits_s) < TREND or waits_s[-1] - waits_s[0] < served_s:
        return []
    return [
        f"saturated: requests wait {waits_s[0]:.3g} s in the median at its beginning, {waits_s[-1]:.3g} s at its end, "
        "so its latencies tell how long the trace is; give it a lower rate, or more instances"
    ]


def _tau(values: list[float]) -> float:
    """Kendall's rank correlation with time: 1 where each is above all before it, 0 where there is no trend."""
    num = len(values)
    signs = [np.sign(values[j] - values[i]) for i in range(num) for j in range(i + 1, num)]
    return float(sum(signs)) / len(signs)


def _too_short(records: Records) -> list[str]:
    num = int(np.count_nonzero(records.has_first_token))
    beyond = round(num * (1 - P99))
    if num == 0 or beyond >= MIN_BEYOND:
        return []
    few = f"{beyond or 'less than one'} of {num:,} requests lie above it"
    return [f"too short for its p99: {few}, {MIN_BEYOND} should; give it 1,000 requests or --seeds N"]

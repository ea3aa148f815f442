"""One run in parts: the means of figures over batches of requests that arrived one after the other.

Requests that are close in time wait in the same queues, so that a run of a thousand is far from a thousand independent
measurements. Means of long batches are nearly independent, and what is left of their likeness can be estimated: the
method of batch means (Schmeiser, "Batch size effects in the analysis of simulation output", Operations Research 30,
1982, which finds 10 to 30 batches best whatever the length of the run).

Two set-ups that were sent the same requests at the same times are compared batch by batch: what a burst does to both
cancels (common random numbers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from zlib import crc32

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import Floats
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo, meets

NUM_BATCHES: Final = 20

MIN_REQUESTS: Final = 10 * NUM_BATCHES
"""A run of fewer has batches that say little."""


class BatchMeans(Struct, frozen=True):
    """Means over `NUM_BATCHES` batches by path of the figure, none where any batch has nothing of it.

    `arrivals`: a checksum of all arrival times, by which runs of the same requests are known.
    """

    arrivals: int
    figures: Mapping[str, Sequence[float]]


NO_BATCHES: Final = BatchMeans(0, {})
"""Of a run that nobody cut into batches."""


def batch_means(records: Records, slo: Slo | None) -> BatchMeans:
    """Of a run, in the order of arrival."""
    arrivals = crc32(np.ascontiguousarray(records.arrived_ns).tobytes())
    if records.num_requests < MIN_REQUESTS:
        return BatchMeans(arrivals, {})
    columns: dict[str, Floats] = {
        "ttft_s.mean": records.ttft_s,
        "tpot_s.mean": records.tpot_s,
        "e2e_s.mean": records.e2e_s,
    }
    if slo is not None:
        columns["slo.attainment"] = meets(slo, records).astype(float)
    found = {path: [_mean(batch) for batch in np.array_split(column, NUM_BATCHES)] for path, column in columns.items()}
    return BatchMeans(arrivals, {path: means for path, means in found.items() if not np.isnan(means).any()})


def _mean(batch: Floats) -> float:
    known = batch[~np.isnan(batch)]
    return float(known.mean()) if len(known) else float("nan")

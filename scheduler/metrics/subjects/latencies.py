"""The latencies of requests, pooled over all of them; `scheduler.metrics.records` defines each.

Live they are counted into the buckets of a grid, out of which each naming scheme takes its own. At the end of a run all
values are at hand and percentiles are exact: the two share the definition, and no more can be shared. Gaps between
tokens are told by instance (`EngineTotals.itl_s`) and added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from scheduler.metrics.bucket_bounds import (
    GENAI_DURATION_BOUNDS_S,
    GENAI_TPOT_BOUNDS_S,
    GENAI_TTFT_BOUNDS_S,
    QUEUE_BOUNDS_S,
    REQUEST_BOUNDS_S,
    TOKEN_BOUNDS_S,
    grid,
)
from scheduler.metrics.buckets import BucketCounts, HistogramTotals, reads, sum_of
from scheduler.metrics.distribution import distribution, weighted_distribution_s
from scheduler.metrics.family import HistogramFamily
from scheduler.metrics.layout import Layout
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.records import Records
from scheduler.metrics.subject import SUBJECTS, Account, Session, Subject
from scheduler.metrics.subjects.engines import ITL_GRID_S, EngineTotals

_SUMMARIZED: Final = ("ttft_s", "tpot_s", "e2e_s", "queue_s")
"""Columns of `Records`."""

TTFT_GRID_S: Final = grid(REQUEST_BOUNDS_S, GENAI_TTFT_BOUNDS_S)
TPOT_GRID_S: Final = grid(TOKEN_BOUNDS_S, GENAI_TPOT_BOUNDS_S)
E2E_GRID_S: Final = grid(REQUEST_BOUNDS_S, GENAI_DURATION_BOUNDS_S)


class LatencyTotals(Struct, frozen=True):
    """Histograms in seconds, on the grids above; `queue_s` has the buckets of `QUEUE_BOUNDS_S`."""

    ttft_s: HistogramTotals
    tpot_s: HistogramTotals
    e2e_s: HistogramTotals
    queue_s: HistogramTotals


_GRIDS_S: Final = {"ttft_s": TTFT_GRID_S, "tpot_s": TPOT_GRID_S, "e2e_s": E2E_GRID_S, "queue_s": QUEUE_BOUNDS_S}
"""By histogram of `LatencyTotals`."""


class LatencyAccount(Account[LatencyTotals]):
    """Counts records into buckets: TTFT and queue when the first token came out, TPOT and E2E at the end."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self._counts = {name: BucketCounts(bounds_s) for name, bounds_s in _GRIDS_S.items()}

    def drain(self, first: Records, ended: Records) -> None:
        """Count what is known of each by now."""
        self._counts["ttft_s"].add_all(first.ttft_s)
        self._counts["queue_s"].add_all(first.queue_s)
        # Who began and never got a token shows when it ends.
        self._counts["queue_s"].add_all(ended.queue_s[~ended.has_first_token])
        self._counts["tpot_s"].add_all(ended.tpot_s)
        self._counts["e2e_s"].add_all(ended.e2e_s)

    def totals(self, session: Session | None) -> LatencyTotals:
        """As they stand."""
        return LatencyTotals(**{name: counts.totals() for name, counts in self._counts.items()})


def _summary(run: EndedRun) -> Mapping[str, Any]:
    found = {name: distribution(getattr(run.records, name)) for name in _SUMMARIZED}
    return {**found, "itl_s": weighted_distribution_s(TokenGaps(run.collector).parts)}


_TTFT: Final = reads(TTFT_GRID_S, REQUEST_BOUNDS_S)
_TPOT: Final = reads(TPOT_GRID_S, TOKEN_BOUNDS_S)
_ITL: Final = reads(ITL_GRID_S, TOKEN_BOUNDS_S)
_E2E: Final = reads(E2E_GRID_S, REQUEST_BOUNDS_S)

FAMILIES: Final = (
    HistogramFamily(
        "supernode_time_to_first_token_seconds", "Arrival to first token, of requests that got one.",
        REQUEST_BOUNDS_S, lambda s: (_TTFT(s[LatencyTotals].ttft_s),),
    ),
    HistogramFamily(
        "supernode_time_per_output_token_seconds",
        "First to last token over the tokens after the first; one value per finished request of two or more.",
        TOKEN_BOUNDS_S, lambda s: (_TPOT(s[LatencyTotals].tpot_s),),
    ),
    HistogramFamily(
        "supernode_inter_token_latency_seconds",
        "Gaps between consecutive tokens of one request, or chunks of tokens with MTP, pooled over all requests.",
        TOKEN_BOUNDS_S, lambda s: (_ITL(sum_of(s[EngineTotals].itl_s)),),
    ),
    HistogramFamily(
        "supernode_e2e_request_latency_seconds", "Arrival to last token, of finished requests.",
        REQUEST_BOUNDS_S, lambda s: (_E2E(s[LatencyTotals].e2e_s),),
    ),
    HistogramFamily(
        "supernode_request_queue_time_seconds", "Arrival to the start of prefill.",
        QUEUE_BOUNDS_S, lambda s: (s[LatencyTotals].queue_s,),
    ),
)  # fmt: skip

SUBJECTS.register("latencies", Subject(LatencyTotals, LatencyAccount, FAMILIES, _summary))

"""The conventions' histograms say what our own say, in the buckets that are advised."""

from __future__ import annotations

from scheduler.metrics.export.names.genai import FAMILIES
from scheduler.metrics.subjects.latencies import TTFT_GRID_S, LatencyTotals
from tests.unit.scheduler.metrics.lived import ASCEND, made_up_snapshot, under_names, whole_supernode


def test_buckets_are_cut_and_nothing_is_lost() -> None:
    snapshot = made_up_snapshot(under_names(whole_supernode(), ASCEND, "genai"))
    duration, ttft, tpot = FAMILIES
    latencies = snapshot[LatencyTotals]
    for family, totals in ((duration, latencies.e2e_s), (ttft, latencies.ttft_s), (tpot, latencies.tpot_s)):
        (shown,) = family.read(snapshot)
        assert (shown.counts[-1], shown.sum_s) == (totals.counts[-1], totals.sum_s)
    assert (ttft.bounds[-1], tpot.bounds[-1], duration.bounds[-1]) == (10.0, 2.5, 81.92)
    own = dict(zip(TTFT_GRID_S, latencies.ttft_s.counts, strict=False))
    assert ttft.read(snapshot)[0].counts[:-1] == tuple(own[bound] for bound in ttft.bounds)

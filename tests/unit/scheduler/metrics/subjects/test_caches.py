"""What cache pools tell is added up over pools and sessions; what they hold is of now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.request_table import RequestTable
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.subjects.caches import CACHE_TIERS, FAMILIES, CacheTotals
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import CacheReported, TransferDone
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of

REPORTS = st.builds(CacheReported, st.sampled_from(["cache-0", "cache-1"]), *[st.integers(0, 10**9)] * 15)
"""A new one of the same pool stands for a longer run only if it has looked up at least as much."""


def _totals() -> LiveTotals:
    totals = LiveTotals(layout_of(PREFILL, DECODE))
    totals.begin(RequestTable(), 1.0)
    return totals


def _values(totals: LiveTotals) -> dict[str, list[float]]:
    snapshot = totals.snapshot()
    return {family.name: list(family.values(snapshot)) for family in FAMILIES}


@given(st.lists(REPORTS, min_size=1, max_size=6))
def test_counters_of_lives_that_ended_stay_and_gauges_are_of_the_last(reports: list[CacheReported]) -> None:
    totals = _totals()
    for report in reports:
        totals.before(1, report)
        totals.end("completed")
        totals.begin(RequestTable(), 1.0)
    assert not any(_values(totals)["supernode_cache_pool_held_tokens"])
    totals.before(1, reports[0])
    seen = totals[CacheTotals]
    ever = [*reports, reports[0]]
    assert seen.asked_tokens == sum(report.asked_tokens for report in ever)
    assert seen.evicted_blocks == (
        sum(report.dram_evicted_blocks for report in ever),
        sum(report.ssd_evicted_blocks for report in ever),
    )
    assert (seen.num_servers, seen.held_tokens) == (
        reports[0].num_servers,
        (reports[0].dram_tokens, reports[0].ssd_tokens),
    )


def test_reports_of_two_pools_add_up_and_a_later_one_takes_the_place_of_the_first() -> None:
    totals = _totals()
    for pool, scale in (("cache-0", 1), ("cache-1", 10), ("cache-0", 2)):
        totals.before(1, CacheReported(pool, *(scale * number for number in range(1, 16))))
    seen = totals[CacheTotals]
    assert (seen.num_servers, seen.asked_tokens, seen.moved_blocks) == (12 * 1, 12 * 6, 12 * 15)
    assert (seen.capacity_tokens, seen.found_tokens) == ((12 * 2, 12 * 4), (12 * 7, 12 * 8))


def test_a_pool_that_came_back_empty_counts_on() -> None:
    totals = _totals()
    for asked_tokens in (100, 40):
        totals.before(1, CacheReported("cache", 48, 0, 0, 0, 0, asked_tokens, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    assert totals[CacheTotals].asked_tokens == 140


def test_bytes_of_reads_and_writes_are_those_of_the_flows_by_memory_and_plane() -> None:
    totals, moved = _totals(), [[0] * len(TransferKind) for _ in Plane]
    # With the cache on VPC, DRAM and SSD share the plane and still are told apart.
    for number, kind in enumerate(TransferKind, 1):
        totals.before(1, TransferDone(number, kind, Plane.VPC, 1, 10**number, 1, 0))
        moved[Plane.VPC][kind] = 10**number
    totals.before(1, TransferDone(9, TransferKind.CACHE_READ, Plane.UB, 1, 7, 1, 0))
    values = _values(totals)
    vpc = moved[Plane.VPC]
    assert values["supernode_cache_pool_read_bytes_total"] == [
        7, vpc[TransferKind.CACHE_READ], vpc[TransferKind.CACHE_SSD_READ],
    ]  # fmt: skip
    assert values["supernode_cache_pool_written_bytes_total"] == [
        0, vpc[TransferKind.CACHE_WRITE], vpc[TransferKind.CACHE_SSD_WRITE],
    ]  # fmt: skip


def test_each_family_has_a_value_for_each_of_its_series() -> None:
    totals = _totals()
    for family in FAMILIES:
        values = _values(totals)[family.name]
        num_tiers = 3 if "plane" in family.labels else len(CACHE_TIERS)
        assert len(values) == (num_tiers if family.labels else 1)

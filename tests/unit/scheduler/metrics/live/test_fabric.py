"""Transfers and broken parts as a live system shows them."""

from __future__ import annotations

import pytest

from scheduler.core.request_table import RequestTable
from scheduler.metrics.buckets import TRANSFER_BOUNDS_S
from scheduler.metrics.live.snapshot import FLOWS, status
from scheduler.metrics.live.totals import LiveTotals
from scheduler.protocol.messages import PartsChanged, Plane, TransferDone, TransferFailed, TransferKind
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of

BROKEN = PartsChanged(5, ["l2/3/7", "npu/1/nic"], [9 * 10**9, 50, 0], [10**12, 2 * 10**12, 3 * 10**12], [], [], [])


def test_what_transfers_took_and_hid_is_added_up_by_kind() -> None:
    totals = LiveTotals(layout_of(PREFILL, DECODE), has_prefix_cache=True)
    for _ in range(2):  # counters go on from session to session
        totals.begin(RequestTable(), 1.0)
        for duration_ns, hidden_ns in ((200_000, 3_000_000), (5_000_000_000, 0)):
            done = TransferDone(1, TransferKind.KV_TRANSFER, Plane.RDMA, 10, 1000, duration_ns, hidden_ns)
            totals.before(10, done)
        totals.before(11, TransferFailed(2, TransferKind.CACHE_READ, Plane.UB, 11))
        totals.end("completed")
    seen = totals.snapshot().fabric
    kv_transfer, read, *_ = seen.transfer_s
    assert kv_transfer.counts == tuple(2 * (bound >= 0.0002) + 2 * (bound >= 5) for bound in (*TRANSFER_BOUNDS_S, 1e9))
    assert kv_transfer.sum_s == pytest.approx(2 * 5.0002)
    assert (seen.hidden_s[TransferKind.KV_TRANSFER], read.sum_s) == (pytest.approx(0.006), 0)
    assert dict(zip(FLOWS, seen.failed_transfers, strict=True))[Plane.UB, TransferKind.CACHE_READ] == 2
    assert sum(seen.failed_transfers) == 2


def test_parts_are_whole_when_a_session_begins() -> None:
    totals = LiveTotals(layout_of(PREFILL, DECODE), has_prefix_cache=True)
    totals.begin(RequestTable(), 1.0)
    totals.before(5, BROKEN)
    assert totals.failed_parts == ["l2/3/7", "npu/1/nic"]
    assert status(totals.snapshot())["fabric"] == {
        "failed_parts": ["l2/3/7", "npu/1/nic"],
        "lost": {"ub": 0.009, "rdma": 2.5e-11, "vpc": 0.0},
        "failed_transfers": 0,
    }
    totals.begin(RequestTable(), 1.0)
    assert totals.failed_parts == []
    assert totals.snapshot().fabric.lost_bytes_per_s == (0, 0, 0)

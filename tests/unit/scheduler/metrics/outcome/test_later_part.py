"""Rows of the later part of a run: their totals with those of the earlier part are those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.gaps import TokenGaps
from scheduler.metrics.outcome.later_part import later_times
from scheduler.metrics.warmup import WarmupEnd
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import PartsChanged
from tests.unit.scheduler.metrics.logged import SECOND, collector_of, end_run, final, moved, passed, stepped, usage


def _later(collector: Collector, at_ns: int) -> Collector:
    return collector.later_part(WarmupEnd(at_ns, 0, 0, (0,) * len(Plane), ((0,) * len(TransferKind),) * len(Plane), 0))


def test_an_account_that_spans_the_instant_gives_the_share_of_its_time() -> None:
    early = final(usage(0, 4 * SECOND, SECOND, 8.0))
    spanning = final(usage(4 * SECOND, 8 * SECOND, 2 * SECOND, 40.0))
    late = final(usage(8 * SECOND, 9 * SECOND, SECOND, 7.0))
    collector = collector_of()
    for message in (early, spanning, late):
        collector.before(0, message)
    rows = _later(end_run(collector, 9 * SECOND), 7 * SECOND).usage_rows()
    assert rows["start_ns"].tolist() == [0, SECOND]
    assert rows["end_ns"].tolist() == [SECOND, 2 * SECOND]
    assert rows["busy_ns"].tolist() == [SECOND // 2, SECOND]
    assert rows["joules"].tolist() == [10.0, 7.0]


@given(at_ns=st.integers(1, 20 * SECOND), lengths_ns=st.lists(st.integers(1, 3 * SECOND), min_size=1, max_size=8))
def test_accounts_join_from_the_instant_on_and_lose_nothing(at_ns: int, lengths_ns: list[int]) -> None:
    collector, ends_ns = collector_of(), np.cumsum(lengths_ns).tolist()
    for start_ns, end_ns in zip([0, *ends_ns], ends_ns):
        collector.before(0, final(usage(start_ns, end_ns, (end_ns - start_ns) // 2, (end_ns - start_ns) / SECOND)))
    rows = _later(end_run(collector, ends_ns[-1]), at_ns).usage_rows()
    left_ns = max(0, ends_ns[-1] - at_ns)
    assert (rows["end_ns"] - rows["start_ns"]).sum() == left_ns
    assert rows["joules"].sum() == pytest.approx(left_ns / SECOND)
    if left_ns:
        assert rows["start_ns"][0] == 0
        assert (rows["start_ns"][1:] == rows["end_ns"][:-1]).all()


def test_steps_that_begin_later_are_kept() -> None:
    # Steps of 1, 2 and 3 s from 10 s on: they begin at 10, 11 and 13 s.
    run = stepped(16 * SECOND, [SECOND, 2 * SECOND, 3 * SECOND], running=4)
    collector = collector_of()
    collector.before(0, run)
    end_run(collector, 16 * SECOND)
    for at_s, lengths in ((10, [1, 2, 3]), (10.5, [2, 3]), (11, [2, 3]), (12, [3]), (13, [3]), (14, []), (16, [])):
        later = _later(collector, round(at_s * SECOND))
        found = [part for part, _ in TokenGaps(later).parts()]
        assert sorted(np.concatenate([np.zeros(0), *found]).tolist()) == pytest.approx([s * SECOND for s in lengths])
        for row in later.run_rows():
            assert row["boundary_ns"] == round((16 - at_s) * SECOND)
            assert row["num_running"] == 4


def test_what_is_of_one_instant_counts_if_it_is_not_before() -> None:
    collector = collector_of()
    for message in (moved(4 * SECOND, 5), moved(5 * SECOND, 7), moved(6 * SECOND, 11)):
        collector.before(0, message)
    rows = _later(end_run(collector, 7 * SECOND), 5 * SECOND).flow_rows(Plane.RDMA, TransferKind.KV_TRANSFER)
    assert rows["num_bytes"].tolist() == [7, 11]
    assert rows["done_ns"].tolist() == [0, SECOND]


def test_what_was_broken_is_broken_from_the_beginning() -> None:
    collector, lost = collector_of(), [0, 5, 0]
    for at_s, parts, lost_now in ((1, ["npu/1"], lost), (2, ["npu/1", "npu/2"], lost), (6, [], [0, 0, 0])):
        collector.before(0, PartsChanged(at_s * SECOND, parts, lost_now, [9, 9, 9], [], [], []))
    later = _later(end_run(collector, 9 * SECOND), 4 * SECOND)
    assert later.part_changes == [(0, ["npu/1", "npu/2"]), (2 * SECOND, [])]
    assert later.lost_capacity == [(0, lost), (2 * SECOND, [0, 0, 0])]


def test_counters_lose_what_they_were() -> None:
    collector = collector_of()
    collector.before(0, passed(SECOND, computed=100))
    collector.note_warmup_end(2 * SECOND, 0)
    collector.before(0, passed(3 * SECOND, computed=30))
    assert collector.warmup_end is not None
    later = end_run(collector, 4 * SECOND).later_part(collector.warmup_end)
    assert (later.computed_tokens, later.ended_ns) == (30, 2 * SECOND)


def test_no_time_before_becomes_one_that_never_came() -> None:
    assert later_times(np.array([-1, 3, 4, 5, 9]), 5, -1).tolist() == [-1, -2, -2, 0, 4]

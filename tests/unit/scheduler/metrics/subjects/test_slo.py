"""Attainment and goodput, of all requests and by class, counted at once and bit by bit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.request_table import RequestTable
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.metrics.subject import Session
from scheduler.metrics.subjects.slo import SloAccount, SloResult, met_by_class, slo_result
from tests.unit.scheduler.metrics.lived import layout_of
from tests.unit.scheduler.metrics.logged import SECOND, Request, one_token, rejected, table_of

LIMITS = Slo(ttft_s=2.0)
BY_CLASS = Slo(ttft_s=2.0, classes=(("slow", Slo(ttft_s=20.0)), ("none", Slo())))
REQUESTS = (Request(), Request(first_token_ns=9 * SECOND), rejected(), one_token())


def test_attainment_is_of_all_that_arrived() -> None:
    counts = met_by_class(LIMITS, Records(table_of(*REQUESTS)))
    assert slo_result(counts, 8.0) == SloResult(0.5, 0.25)


def test_nothing_arrived() -> None:
    assert slo_result(met_by_class(LIMITS, Records(table_of())), 0.0) == SloResult(None, None)


@given(rows=st.lists(st.tuples(st.sampled_from(REQUESTS), st.integers(0, 2)), max_size=12), cut=st.integers(0, 12))
def test_a_live_system_counts_what_a_run_comes_to(rows: list[tuple[Request, int]], cut: int) -> None:
    table = table_of(*(request for request, _ in rows))
    for request_id, (_, request_class) in enumerate(rows):
        table.request_class[request_id] = request_class
    account, ids = SloAccount(layout_of()), list(range(len(rows)))
    session = Session(True, RequestTable(), 1.0, slo=BY_CLASS)
    account.begin(session)
    for some in (ids[:cut], ids[cut:]):
        account.drain(Records(table, []), Records(table, some))
    seen, counts = account.totals(session), met_by_class(BY_CLASS, Records(table))
    assert (seen.judged, seen.met) == (counts.sum(), counts[:, 0].sum())
    assert list(seen.by_class.values()) == [tuple(row) for row in counts.tolist()]
    assert list(seen.by_class) == ["default", "slow", "none"]
    assert seen.limits_s == (2.0, 0.0, 0.0)

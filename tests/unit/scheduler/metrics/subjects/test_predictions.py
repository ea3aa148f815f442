"""Ratios of predictions, over several sessions."""

from __future__ import annotations

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS, PredictionError
from scheduler.core.request_table import RequestTable
from scheduler.metrics.subject import Session
from scheduler.metrics.subjects.predictions import PredictionAccount
from tests.unit.scheduler.metrics.lived import layout_of


def error_of(*pairs: tuple[float, float]) -> PredictionError:
    """Of these predictions and what came."""
    error = PredictionError()
    for predicted, actual in pairs:
        error.note(predicted, actual)
    return error


def session_of(**errors: PredictionError) -> Session:
    """A session that makes these."""
    return Session(True, RequestTable(), 1.0, errors=errors)


def test_ratios_of_all_sessions_are_counted() -> None:
    account = PredictionAccount(layout_of())
    account.end(session_of(ttft=error_of((50, 100), (101, 100))))
    running = error_of((100, 100))
    session = session_of(ttft=running, tpot=error_of((900, 100)))
    running.note(100, 100)
    ttft, tpot = account.totals(session).ratios
    at = dict(zip(RATIO_BOUNDS, ttft.counts))
    assert (at[0.25], at[0.5], at[0.98], at[1.0], at[1.02], ttft.counts[-1]) == (0, 1, 1, 3, 4, 4)
    assert ttft.sum_s == 0.5 + 1.01 + 1.0 + 1.0
    assert (tpot.counts[-2], tpot.counts[-1]) == (0, 1)
    account.end(session)
    assert account.totals(session_of()).ratios == (ttft, tpot) == account.totals(None).ratios

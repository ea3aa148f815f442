"""Limits as users write them, and who meets them."""

from __future__ import annotations

import pytest

from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo, meets, parse_slo
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.finish import FinishReason
from tests.unit.scheduler.metrics.logged import SECOND, Request, one_token, rejected, table_of


@pytest.mark.parametrize(
    ("text", "slo"),
    [
        ("ttft=2s", Slo(ttft_s=2.0)),
        ("tpot=50ms,ttft=1.5s", Slo(ttft_s=1.5, tpot_s=0.05)),
        (" e2e = 30 s , tpot=250us", Slo(tpot_s=0.00025, e2e_s=30.0)),
    ],
)
def test_read(text: str, slo: Slo) -> None:
    assert parse_slo(text) == slo


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("itl=5ms", "unknown limit 'itl'"),
        ("", "unknown limit ''"),
        ("ttft=2s,", "unknown limit ''"),
        ("ttft=2s,ttft=3s", "ttft is given twice"),
        ("ttft=2", "ttft cannot be '2'"),
        ("ttft", "ttft cannot be ''"),
        ("tpot=fastms", "tpot cannot be 'fastms'"),
        ("tpot=5sm", "tpot cannot be '5sm'"),
        ("tpot=5m", "tpot cannot be '5m'"),
        ("e2e=0s", "must be above 0"),
        ("e2e=-1s", "must be above 0"),
        ("e2e=infs", "e2e cannot be 'infs'"),
        ("e2e=nans", "e2e cannot be 'nans'"),
    ],
)
def test_refused(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=r"ttft=2s,tpot=50ms,e2e=30s") as caught:
        parse_slo(text)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


# By default: TTFT 2 s, TPOT 2 s, E2E 6 s.
@pytest.mark.parametrize(
    ("slo", "request_", "is_met"),
    [
        (Slo(ttft_s=2.0), Request(), True),
        (Slo(ttft_s=1.999), Request(), False),
        (Slo(tpot_s=2.0), Request(), True),
        (Slo(tpot_s=1.999), Request(), False),
        (Slo(e2e_s=6.0), Request(), True),
        (Slo(e2e_s=5.999), Request(), False),
        (Slo(ttft_s=2.0, tpot_s=1.0), Request(), False),
        (Slo(tpot_s=0.001), one_token(), True),
        (Slo(ttft_s=1.0, tpot_s=0.001), one_token(), False),
        (Slo(ttft_s=9.0), rejected(), False),
        (Slo(ttft_s=9.0), Request(reason=FinishReason.INTERRUPTED), False),
        (Slo(tpot_s=9.0), Request(reason=FinishReason.LENGTH), True),
    ],
)
def test_meets(slo: Slo, request_: Request, is_met: bool) -> None:
    assert meets(slo, Records(table_of(request_))).tolist() == [is_met]


def test_a_limit_that_is_met_exactly_is_met() -> None:
    slow = Request(first_token_ns=SECOND, last_token_ns=SECOND + 57_000_000, output_tokens=2)
    assert meets(parse_slo("tpot=57ms"), Records(table_of(slow))).all()

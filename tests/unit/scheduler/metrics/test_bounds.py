"""Bounds on a result."""

from __future__ import annotations

import pytest

from scheduler.metrics.bounds import Bound, parse_bound
from scheduler.protocol.errors import ConfigError

RESULT = {
    "requests": {"arrived": 10, "failed": 0},
    "ttft_s": {"p50": 1.0, "p99": 2.5},
    "tpot_s": {"p50": None, "p99": None},
    "slo": None,
    "energy": {"scope": "npu", "joules": 5.0},
    "partial": False,
}


def test_read() -> None:
    assert parse_bound(" ttft_s.p99 > 2e-1 ") == Bound("ttft_s.p99", ">", 0.2)
    assert parse_bound("requests.arrived<-3") == Bound("requests.arrived", "<", -3.0)


@pytest.mark.parametrize(
    "text", ["", "ttft_s.p99", "ttft_s.p99=2", "ttft_s.p99>=2", "a>b", "a>", ">2", "a<1<2", "a<nan", "a>1ms"]
)
def test_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give PATH<VALUE or PATH>VALUE"):
        parse_bound(text)


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [
        ("ttft_s.p99>2", True),
        ("ttft_s.p99>2.5", False),
        ("ttft_s.p99<2.5", False),
        ("ttft_s.p99<3", True),
        ("requests.failed>0", False),
        ("requests.arrived<11", True),
        ("tpot_s.p99>1000", True),
        ("tpot_s.p99<0", True),
    ],
)
def test_broken_or_not(text: str, is_broken: bool) -> None:
    assert parse_bound(text).is_broken(RESULT) is is_broken


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("ttft_s.p98>1", "no such path; near: ttft_s.p99"),
        ("ttft.p99>1", "near: ttft_s.p99"),
        ("p99>1", "near: ttft_s.p99, tpot_s.p99"),
        ("wholly.else>1", "known: requests, ttft_s"),
        ("ttft_s.p99.x>1", "no such path"),
        ("ttft_s>1", "names a group; take one of ttft_s.p50, ttft_s.p99"),
        ("energy.scope>1", "'npu' is no number"),
        ("partial>0", "False is no number"),
        ("slo.attainment<0.9", "slo is null"),
    ],
)
def test_paths_that_name_no_number(text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bound(text).is_broken(RESULT)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bound_may_have_the_unit_of_what_it_bounds() -> None:
    assert parse_bound("ttft_s.p99>500ms") == parse_bound("ttft_s.p99>0.5")
    assert parse_bound("energy.supernode.mean_watts>20k").value == 20e3
    with pytest.raises(ConfigError, match="'5m' is no number"):
        parse_bound("ttft_s.p99>5m")

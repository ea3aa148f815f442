"""Groups of clients: what texts mean, when clients begin, and how long they think."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from scheduler.protocol.errors import ConfigError
from scheduler.runtime.random_streams import stream
from scheduler.sources.clients.groups import (
    NO_THINKING,
    ClientGroup,
    ThinkKind,
    ThinkTime,
    parse_concurrency,
    parse_duration_s,
    parse_think_time,
)


def test_concurrency_is_one_number_or_one_for_each_class() -> None:
    assert parse_concurrency("") == ()
    assert parse_concurrency("64") == (("", 64),)
    assert parse_concurrency("20k") == (("", 20_000),)
    assert parse_concurrency(" interactive = 200, batch=20 ") == (("interactive", 200), ("batch", 20))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "'0' is no number of clients; give one from 1 to 1,000,000"),
        ("-1", "'-1' is no number of clients"),
        ("1000001", "is no number of clients"),
        ("1.5", "'1.5' is no number of clients"),
        ("many", "'many' is no number of clients"),
        ("a=", "'' is no number of clients"),
        ("=5", "'=5' names no class; give a number, or CLASS=N,CLASS=N"),
        ("5,a=3", "'5' names no class"),
        ("a=3,5", "'5' names no class"),
        ("a=3,", "'' names no class"),
        ("a=3,a=4", "'a' is given twice; leave one out"),
    ],
)
def test_what_is_no_concurrency_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_concurrency(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_think_times_are_read_as_written() -> None:
    assert parse_think_time("") == NO_THINKING
    assert parse_think_time("500ms") == ThinkTime(0.5)
    assert parse_think_time("constant:2s") == ThinkTime(2.0)
    assert parse_think_time("exponential:2min") == ThinkTime(120.0, ThinkKind.EXPONENTIAL)
    assert parse_think_time("lognormal:2s") == ThinkTime(2.0, ThinkKind.LOGNORMAL, 1.0)
    assert parse_think_time("lognormal: 2s, cv = 0.5") == ThinkTime(2.0, ThinkKind.LOGNORMAL, 0.5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2", "has no unit; write a time such as 30s"),
        ("-2s", "'-2s' is out of range; give a time from 0s to 1e+06s"),
        ("2e6s", "is out of range"),
        ("soon", "cannot read 'soon'"),
        ("exponential:", "'exponential:' gives no time; write exponential:2s"),
        ("exponential:-2s", "is out of range"),
        ("pareto:2s", "'pareto' is no distribution of think times; give constant or exponential or lognormal"),
        ("exponential:2s,cv=1", "'cv=1' cannot be used; give lognormal:MEAN,cv=X"),
        ("lognormal:2s,cv=21", "with X from 0 to 20"),
        ("lognormal:2s,cv=-1", "with X from 0 to 20"),
        ("lognormal:2s,cv", "'cv' cannot be used"),
        ("lognormal:2s,", "cannot be used"),
    ],
)
def test_what_is_no_think_time_is_one_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_think_time(text)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["3", "-3s", "2e6s", "x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("think", "cv"),
    [
        (ThinkTime(0.002), 0.0),
        (ThinkTime(0.002, ThinkKind.EXPONENTIAL), 1.0),
        (ThinkTime(0.002, ThinkKind.LOGNORMAL, 0.5), 0.5),
        (ThinkTime(0.0, ThinkKind.EXPONENTIAL), 0.0),
    ],
)
def test_draws_have_the_mean_and_spread_that_were_asked_for(think: ThinkTime, cv: float) -> None:
    drawn = np.array(list(islice(think.draws_ns(stream(0, "think")), 20_000)))
    assert drawn.min() >= 0
    assert drawn.mean() == pytest.approx(think.mean_s * 1e9, rel=0.03)
    assert drawn.std() == pytest.approx(cv * think.mean_s * 1e9, rel=0.05)


def test_draws_are_those_of_the_stream() -> None:
    think = ThinkTime(1.0, ThinkKind.EXPONENTIAL)
    first, again, other = (list(islice(think.draws_ns(stream(seed, "think")), 300)) for seed in (0, 0, 1))
    assert first == again != other


def test_clients_begin_evenly_over_the_ramp_the_first_at_once() -> None:
    assert ClientGroup(3).begin_ns() == [0, 0, 0]
    assert ClientGroup(4, ramp_s=2.0).begin_ns() == [0, 500_000_000, 1_000_000_000, 1_500_000_000]

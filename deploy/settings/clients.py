"""Clients that wait, as settings: how many there are, how long they think, what of a run is left out of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from deploy.settings.setting import setting
from scheduler.protocol.catalog import shorten
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.quantity import QuantityError, read_count
from scheduler.sources.clients.groups import (
    ClientGroup,
    ThinkTime,
    parse_concurrency,
    parse_duration_s,
    parse_think_time,
)

SessionsText = Literal["auto", "open", "closed"]

NS_PER_S: Final = 1e9


@dataclass(frozen=True, slots=True)
class Warmup:
    """What a run's figures leave out: its first `num_requests`, or those that arrive before `until_ns`."""

    num_requests: int = 0
    until_ns: int = 0

    def __bool__(self) -> bool:
        return bool(self.num_requests or self.until_ns)


def parse_warmup(plain: str | int) -> Warmup:
    """Of `100` (requests) or a text such as `60s`. Raises `ConfigError`."""
    text = str(plain)
    if not text:
        return Warmup()
    try:
        return Warmup(num_requests=read_count(text))
    except QuantityError:
        pass
    try:
        return Warmup(until_ns=round(parse_duration_s(text) * NS_PER_S))
    except QuantityError:
        raise ConfigError(f"{shorten(text)} is no warm-up; give a number of requests, or a time such as 60s") from None


def _concurrency(plain: str | int) -> tuple[tuple[str, int], ...]:
    return parse_concurrency(str(plain))


@dataclass(frozen=True, slots=True)
class Clients:
    """Who asks, where it waits for its answers."""

    concurrency: tuple[tuple[str, int], ...] = setting(
        "",
        _concurrency,
        type=str | int,
        flag=("N", "Keep so many in flight, N or CLASS=N,...; times are unused."),
    )
    """Clients, each with one request in flight at most: a number for all requests, or CLASS=N,CLASS=N. The trace's
    order holds, and its times do not. Empty for requests that come at the times of the trace."""
    think_time: ThinkTime = setting(
        "", parse_think_time, flag=("TIME", "Of --concurrency: 2s, exponential:2s or lognormal:2s,cv=1.")
    )
    """What passes between the end of a client's request and its next: a time, or a distribution with its mean."""
    ramp_s: float = setting(
        "", parse_duration_s, name="ramp", flag=("TIME", "Clients of --concurrency begin evenly over it.")
    )
    """Over how long clients begin, such as 30s; empty for all at once."""
    sessions: SessionsText = setting(
        "auto", type=SessionsText, flag=("MODE", "Turns come at their times (open), or after the one before (closed).")
    )
    """Whether a turn waits for the one before it. `auto`: where the trace gives delays or says what waits for what."""
    warmup: Warmup = setting("", parse_warmup, flag=("N", "Leave the first N requests, or a time, out of the figures."))
    """What is left out of the figures: a number of requests, or a time such as 60s; empty for nothing."""

    @property
    def groups(self) -> tuple[ClientGroup, ...]:
        """Empty where requests come at their times."""
        return tuple(ClientGroup(count, name, self.think_time, self.ramp_s) for name, count in self.concurrency)


def refuse_idle_flags(flags: Mapping[str, Any], clients: Clients) -> None:
    """`ConfigError` for a flag of clients where nobody waits: it would do nothing."""
    for name in ("think_time", "ramp"):
        if flags[name] is not None and not clients.concurrency:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} is of clients that wait: add --concurrency N, or leave it out")

"""An instance parks only when it is empty, draws less meanwhile, and says when it is awake again."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import (
    Message,
    ParkedSet,
    PrefillStepped,
    ReportUsage,
    RunEnded,
    SetParked,
    StartPrefill,
    Usage,
    UsageReported,
)
from scheduler.protocol.sealed_payload import seal_output_tokens
from tests.naive.case import IDLE_WATTS, Case
from tests.sim.build import LinearCost, LinearEnergy
from workers.parking import ParkableInstance
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

WAKE_NS = 50
START = StartPrefill([0], [10], [0], [0], seal_output_tokens([1]), [], [])


@dataclass(frozen=True)
class Draw:
    """Of a parked instance."""

    wake_ns: int = WAKE_NS

    def joules(self, span_ns: int) -> float:
        """A joule a nanosecond."""
        return float(span_ns)


def instance() -> ParkableInstance:
    """An empty one."""
    prefill = PrefillInstance("prefill-0", PrefillConfig(100, 10), LinearCost(Case(())), LinearEnergy())
    return ParkableInstance(prefill, prefill.is_empty, Draw())


def said(one: ParkableInstance, now_ns: int, message: Message) -> list[Message]:
    """What it answers to whoever it reports to."""
    return [answer for _, answer in one.handle(now_ns, message)]


def idle(start_ns: int, end_ns: int, watts: int) -> UsageReported:
    """An account of idle time."""
    return UsageReported("prefill-0", Usage(start_ns, end_ns, 0, float(watts * (end_ns - start_ns))))


def test_accounts_tell_parked_time_from_other() -> None:
    one = instance()
    assert said(one, 100, SetParked(True)) == [idle(0, 100, IDLE_WATTS), ParkedSet("prefill-0", True)]
    assert said(one, 130, ReportUsage()) == [idle(100, 130, 1)]
    assert one.deadline_ns == NEVER_NS
    assert said(one, 200, SetParked(False)) == [idle(130, 200, 1)]
    assert one.deadline_ns == 250
    assert one.wake(250) == (("core", ParkedSet("prefill-0", False)),)
    assert one.deadline_ns == NEVER_NS
    assert said(one, 300, RunEnded(False)) == [idle(200, 300, IDLE_WATTS)]


def test_who_has_work_does_not_park() -> None:
    one = instance()
    one.handle(10, START)
    assert said(one, 10, SetParked(True)) == [ParkedSet("prefill-0", False)]
    one.wake(10)
    assert said(one, 20, SetParked(True)) == [ParkedSet("prefill-0", False)]
    ((_, done),) = one.wake(one.deadline_ns)
    assert isinstance(done, PrefillStepped)
    assert said(one, done.boundary_ns + 5, SetParked(True))[-1] == ParkedSet("prefill-0", True)


def test_a_run_that_ends_while_it_wakes_leaves_nothing_due() -> None:
    one = instance()
    one.handle(0, SetParked(True))
    one.handle(10, SetParked(False))
    one.handle(20, RunEnded(False))
    assert one.deadline_ns == NEVER_NS

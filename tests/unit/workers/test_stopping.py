"""An instance that was stopped hears nothing and accounts for nothing until it is started again."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.messages import (
    Message,
    ReleaseKv,
    ReportUsage,
    RunEnded,
    StartInstances,
    StopInstances,
    Usage,
    UsageReported,
    WorkersLost,
    WorkersStarted,
)
from workers.stopping import Nobody, StoppableInstance


class Instance:
    """Accounts 10 W."""

    address = "prefill-0"
    priority = 4
    takes_late = backdates_replies = runs_ahead = is_observer = False

    def __init__(self, began_ns: int) -> None:
        self.deadline_ns = began_ns + 5
        self._since_ns = began_ns
        self.heard: list[Message] = []

    def handle(self, now_ns: int, message: Message) -> Outputs:
        self.heard.append(message)
        if not isinstance(message, ReportUsage | RunEnded):
            return NOTHING
        usage = Usage(self._since_ns, now_ns, 0, 10.0 * (now_ns - self._since_ns))
        self._since_ns = now_ns
        return (("core", UsageReported(self.address, usage)),)

    def wake(self, now_ns: int) -> Outputs:
        return NOTHING


def usages(outputs: Outputs) -> list[Usage]:
    return [message.usage for _, message in outputs if isinstance(message, UsageReported)]


def maker(made: list[Instance]) -> Callable[[int], Instance]:
    """Makes one and adds it to those that were made."""

    def make(began_ns: int) -> Instance:
        made.append(Instance(began_ns))
        return made[-1]

    return make


GONE = ("core", WorkersLost(["prefill-0"], as_commanded=True))
STARTED = ("core", WorkersStarted(["prefill-0"]))


def test_it_stops_and_starts_anew_and_accounts_while_it_is_there() -> None:
    made = [Instance(0)]
    one = StoppableInstance(made[0], maker(made))
    assert (one.address, one.deadline_ns) == ("prefill-0", 5)
    stopped = one.handle(100, StopInstances(["prefill-0"]))
    assert stopped[-1] == GONE
    assert one.deadline_ns == NEVER_NS
    assert one.handle(150, ReleaseKv([1])) == one.handle(200, ReportUsage()) == NOTHING
    assert one.handle(250, StopInstances(["prefill-0"])) == (GONE,)
    assert one.handle(300, StartInstances(["prefill-0"])) == (STARTED,)
    assert one.deadline_ns == 305
    last = one.handle(400, RunEnded(interrupted=False))
    accounts = [usage for outputs in (stopped, last) for usage in usages(outputs)]
    assert [(one.start_ns, one.end_ns) for one in accounts] == [(0, 100), (300, 400)]
    assert not any(isinstance(message, ReleaseKv) for instance in made for message in instance.heard)


def test_one_that_serves_says_that_it_is_there() -> None:
    one = StoppableInstance(Instance(0), Instance, start_ns=50)
    assert one.handle(10, StartInstances(["prefill-0"])) == (STARTED,)


def test_a_start_takes_its_time_and_has_its_npus_meanwhile() -> None:
    made: list[Instance] = []
    one = StoppableInstance(Instance(0), maker(made), start_ns=50, is_there=False)
    assert one.deadline_ns == NEVER_NS
    assert one.handle(5, ReportUsage()) == NOTHING
    assert one.handle(10, StartInstances(["prefill-0"])) == NOTHING
    assert one.deadline_ns == 15  # the instance's own
    assert one.wake(15) == NOTHING
    assert [(usage.start_ns, usage.end_ns) for usage in usages(one.handle(30, ReportUsage()))] == [(10, 30)]
    assert one.handle(40, StartInstances(["prefill-0"])) == NOTHING  # it is on its way
    made[-1].deadline_ns = NEVER_NS
    assert one.deadline_ns == 60
    assert one.wake(60) == (STARTED,)
    assert one.deadline_ns == NEVER_NS


@pytest.mark.parametrize("last", [StopInstances(["prefill-0"]), RunEnded(interrupted=True)])
def test_what_ends_it_ends_a_start(last: Message) -> None:
    made: list[Instance] = []
    one = StoppableInstance(Instance(0), maker(made), start_ns=50, is_there=False)
    one.handle(10, StartInstances(["prefill-0"]))
    made[-1].deadline_ns = NEVER_NS
    one.handle(20, last)
    assert one.deadline_ns == NEVER_NS


def test_who_is_not_there_says_nothing() -> None:
    nobody = Nobody("prefill-7")
    assert (nobody.address, nobody.deadline_ns) == ("prefill-7", NEVER_NS)
    assert nobody.handle(10, ReportUsage()) == nobody.wake(10) == NOTHING

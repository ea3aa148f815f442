"""An instance that was stopped hears nothing, and its NPUs draw what empty ones do until it is started again."""

from __future__ import annotations

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
from workers.stopping import StoppableInstance


class Instance:
    """Accounts 10 W."""

    address = "prefill-0"
    priority = 4
    takes_late = backdates_replies = is_observer = False

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


class Empty:
    wake_ns = 0

    def joules(self, span_ns: int) -> float:
        return 2.0 * span_ns


def usages(outputs: Outputs) -> list[Usage]:
    return [message.usage for _, message in outputs if isinstance(message, UsageReported)]


def test_it_stops_accounts_and_starts_anew() -> None:
    made: list[Instance] = []

    def make(began_ns: int) -> Instance:
        made.append(Instance(began_ns))
        return made[-1]

    one = StoppableInstance(make(0), make, Empty())
    assert (one.address, one.deadline_ns) == ("prefill-0", 5)
    stopped = one.handle(100, StopInstances(["prefill-0"]))
    assert stopped[-1] == ("core", WorkersLost(["prefill-0"], as_commanded=True))
    assert one.deadline_ns == NEVER_NS
    assert one.handle(150, ReleaseKv([1])) == NOTHING
    idle = one.handle(200, ReportUsage())
    assert one.handle(250, StopInstances(["prefill-0"])) == (stopped[-1],)
    started = one.handle(300, StartInstances(["prefill-0"]))
    assert started[-1] == ("core", WorkersStarted(["prefill-0"]))
    assert one.deadline_ns == 305
    last = one.handle(400, RunEnded(interrupted=False))
    # INV-11: each instant is accounted for once.
    accounts = [usage for outputs in (stopped, idle, started, last) for usage in usages(outputs)]
    assert [(one.start_ns, one.end_ns) for one in accounts] == [(0, 100), (100, 200), (200, 300), (300, 400)]
    assert [one.joules for one in accounts] == [1000.0, 200.0, 200.0, 1000.0]
    assert not any(isinstance(message, ReleaseKv) for instance in made for message in instance.heard)


def test_one_that_serves_says_that_it_is_there() -> None:
    one = StoppableInstance(Instance(0), Instance, Empty())
    assert one.handle(10, StartInstances(["prefill-0"])) == (("core", WorkersStarted(["prefill-0"])),)

"""Guests: who listens to the core is told of what it hears, in order, and acts at its own time."""

from __future__ import annotations

from scheduler.core.guest import Guest
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.messages import ArrivalsEnded, Message, ReportUsage, RequestsArrived, StartPrefill
from tests.unit.scheduler.core.told import Told


class Recording(Guest):
    """Notes its calls; `asks` is what it returns from each."""

    def __init__(self, name: str, calls: list[str], asks: Outputs = NOTHING) -> None:
        self.name = name
        self.calls = calls
        self.asks = asks

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Note the call."""
        self.calls.append(f"{self.name} before {type(message).__name__}")
        return NOTHING

    def after(self, now_ns: int, message: Message) -> Outputs:
        """Note the call, and act ten nanoseconds later."""
        self.calls.append(f"{self.name} after {type(message).__name__}")
        self.deadline_ns = now_ns + 10
        return self.asks

    def wake(self, now_ns: int) -> Outputs:
        """Note the call."""
        self.calls.append(f"{self.name} wakes at {now_ns}")
        self.deadline_ns = NEVER_NS
        return self.asks


def test_guests_are_asked_in_order_before_and_after_and_at_their_time() -> None:
    told, calls = Told(), list[str]()
    told.core.add_guest(Recording("one", calls))
    told.core.add_guest(Recording("two", calls))
    told.tell(ArrivalsEnded())
    kind = "ArrivalsEnded"
    assert calls == [f"one before {kind}", f"two before {kind}", f"one after {kind}", f"two after {kind}"]
    assert told.core.deadline_ns == told.now_ns + 10
    told.core.wake(told.core.deadline_ns)
    assert calls[4:] == [f"one wakes at {told.now_ns + 10}", f"two wakes at {told.now_ns + 10}"]
    assert told.core.deadline_ns == NEVER_NS


def test_a_guest_is_asked_only_for_what_it_hears() -> None:
    told, calls = Told(), list[str]()
    guest = Recording("one", calls)
    guest.hears = (RequestsArrived,)
    told.core.add_guest(guest)
    told.tell(ArrivalsEnded())
    assert not calls
    told.arrive()
    assert calls == ["one before RequestsArrived", "one after RequestsArrived"]


def test_what_a_guest_returns_goes_out_after_the_commands_or_first() -> None:
    ask = [("p0", ReportUsage())]
    for goes_first in (False, True):
        told = Told()
        guest = Recording("one", [], ask)
        guest.goes_first = goes_first
        told.core.add_guest(guest)
        kinds = [type(message) for message in told.arrive()["p0"]]
        assert kinds == [ReportUsage, StartPrefill] if goes_first else [StartPrefill, ReportUsage]


def test_one_class_and_one_line_make_a_listener_that_acts_on_time_and_on_any_message() -> None:
    class AsksAfterASecond(Guest):
        """Asks an instance for its usage a second after anything was heard."""

        def after(self, now_ns: int, message: Message) -> Outputs:
            self.deadline_ns = now_ns + 10**9
            return NOTHING

        def wake(self, now_ns: int) -> Outputs:
            self.deadline_ns = NEVER_NS
            return [("p0", ReportUsage())]

    told = Told()
    told.core.add_guest(AsksAfterASecond())
    told.arrive()
    assert told.core.deadline_ns == told.now_ns + 10**9
    assert told.core.wake(told.core.deadline_ns) == [("p0", ReportUsage())]

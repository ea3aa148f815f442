"""The time rule: due times decide, and no component's time goes back."""

from __future__ import annotations

import pytest

from scheduler.protocol.component import NEVER_NS, Component, Outputs, TimingFlags
from scheduler.protocol.messages import ArrivalsEnded, Message, ReleaseKv, RunEnded
from scheduler.protocol.stepper import Stepper


class Probe(TimingFlags):
    """Notes what it is given; answers each message to `peer`, and wakes when told to by the id in `ReleaseKv`."""

    def __init__(self, address: str, log: list[tuple[str, int, str]], priority: int = 3, peer: str = "core") -> None:
        self.address, self.priority, self.deadline_ns = address, priority, NEVER_NS
        self._log, self._peer = log, peer

    def handle(self, now_ns: int, message: Message) -> Outputs:
        self._log.append((self.address, now_ns, type(message).__name__))
        if isinstance(message, ReleaseKv):
            self.deadline_ns = message.ids[0]
        return ()

    def wake(self, now_ns: int) -> Outputs:
        self._log.append((self.address, now_ns, "wake"))
        self.deadline_ns = NEVER_NS
        return ((self._peer, ArrivalsEnded()),)


class PatientProbe(Probe):
    """One that is told how late it is."""

    takes_late = True


class AnsweringProbe(Probe):
    """One whose answers do not depend on its timers."""

    backdates_replies = True

    def handle(self, now_ns: int, message: Message) -> Outputs:
        super().handle(now_ns, message)
        return ((self._peer, ArrivalsEnded()),)


def make(*components: Component) -> Stepper:
    return Stepper(components)


def test_a_message_is_handled_when_it_fell_due_or_at_the_receivers_own_later_time() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(Probe("a", log), Probe("b", log))
    for address, due_ns in (("a", 50), ("a", 40), ("b", 40), ("a", 60)):
        hosted.deliver(address, due_ns, RunEnded(interrupted=False))
    assert [(address, now_ns) for address, now_ns, _ in log] == [("a", 50), ("a", 50), ("b", 40), ("a", 60)]
    assert hosted.last_ns == 60
    assert hosted.num_handled == 4


def test_who_takes_late_messages_is_told_when_each_fell_due_and_answers_as_of_its_deadline() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(PatientProbe("a", log))
    hosted.deliver("a", 50, RunEnded(interrupted=False))
    hosted.deliver("a", 40, ReleaseKv([45]))
    hosted.run_until(60)
    assert [now_ns for _, now_ns, _ in log] == [50, 40, 45]
    assert [due_ns for _, due_ns, _ in hosted.take_sent()] == [45]
    assert hosted.last_ns == 50


def test_who_backdates_replies_does_so_though_it_waits_for_something() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(AnsweringProbe("a", log))
    hosted.deliver("a", 50, ReleaseKv([90]))
    hosted.deliver("a", 40, ReleaseKv([95]))
    assert [now_ns for _, now_ns, _ in log] == [50, 50]
    assert [due_ns for _, due_ns, _ in hosted.take_sent()] == [50, 40]


def test_deadlines_before_a_message_are_woken_first_at_their_own_time_and_one_at_its_instant_after_it() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(Probe("a", log), Probe("b", log))
    hosted.deliver("a", 1, ReleaseKv([30]))
    hosted.deliver("b", 1, ReleaseKv([40]))
    hosted.deliver("b", 40, RunEnded(interrupted=False))
    assert log[2:] == [("a", 30, "wake"), ("b", 40, "RunEnded")]
    assert hosted.deadline_ns == 40
    hosted.run_until(39)
    assert len(log) == 4
    hosted.run_until(1000)
    assert log[4:] == [("b", 40, "wake")]
    assert hosted.take_sent() == [("core", 30, ArrivalsEnded()), ("core", 40, ArrivalsEnded())]
    assert hosted.take_sent() == []


def test_at_one_instant_priority_decides_then_position() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(Probe("late", log, 5), Probe("first", log, 1), Probe("second", log, 1))
    for address in hosted.addresses:
        hosted.deliver(address, 0, ReleaseKv([7]))
    hosted.run_until(7)
    assert [address for address, _, what in log if what == "wake"] == ["first", "second", "late"]


def test_what_is_said_within_the_group_is_delivered_at_its_instant() -> None:
    log: list[tuple[str, int, str]] = []
    hosted = make(Probe("a", log, peer="b"), Probe("b", log))
    hosted.deliver("a", 0, ReleaseKv([9]))
    hosted.run_until(100)
    assert log[-2:] == [("a", 9, "wake"), ("b", 9, "ArrivalsEnded")]
    assert hosted.take_sent() == []


def test_an_observer_is_woken_while_another_has_a_deadline_and_prolongs_nothing() -> None:
    class Watch(Probe):
        """Wakes every 10 ns."""

        is_observer = True

        def wake(self, now_ns: int) -> Outputs:
            super().wake(now_ns)
            self.deadline_ns = now_ns + 10
            return ()

    log: list[tuple[str, int, str]] = []
    watch = Watch("watch", log, priority=-1)
    watch.deadline_ns = 10
    hosted = make(Probe("a", log), watch)
    assert hosted.deadline_ns == NEVER_NS
    hosted.deliver("a", 5, ReleaseKv([30]))
    assert hosted.deadline_ns == 10
    hosted.run_until(1000)
    assert log[1:] == [("watch", 10, "wake"), ("watch", 20, "wake"), ("watch", 30, "wake"), ("a", 30, "wake")]
    assert hosted.deadline_ns == NEVER_NS
    hosted.deliver("a", 35, ReleaseKv([40]))
    assert hosted.deadline_ns == 40


def test_a_deadline_that_is_let_go_and_taken_up_again_at_its_instant_is_kept() -> None:
    class Sender(Probe):
        """Lets go of the other's deadline when it wakes, and gives it anew by a message."""

        def wake(self, now_ns: int) -> Outputs:
            super().wake(now_ns)
            late.deadline_ns = NEVER_NS
            return (("b", ArrivalsEnded()), ("late", ReleaseKv([7])))

    log: list[tuple[str, int, str]] = []
    late = Probe("late", log, priority=2)
    hosted = make(Sender("a", log, priority=1), Probe("b", log, priority=0), late)
    hosted.deliver("late", 0, ReleaseKv([7]))
    hosted.deliver("a", 0, ReleaseKv([7]))
    hosted.run_until(7)
    assert log[-1] == ("late", 7, "wake")


def test_without_others_an_unknown_address_is_an_error() -> None:
    hosted = Stepper([Probe("a", [])], has_others=False)
    with pytest.raises(KeyError, match="nobody"):
        hosted.deliver("nobody", 0, ArrivalsEnded())


def test_who_takes_anothers_place_is_told_and_woken_instead() -> None:
    log: list[tuple[str, int, str]] = []
    later: list[tuple[str, int, str]] = []
    stepper = make(Probe("a", log), Probe("b", log))
    stepper.deliver("a", 10, ReleaseKv([30]))
    stepper.exchange(Probe("a", later))
    stepper.run_until(40)
    assert [what for _, _, what in log] == ["ReleaseKv"]  # the deadline of the one that is gone holds no more
    stepper.deliver("a", 50, ReleaseKv([60]))
    stepper.run_until(70)
    assert later == [("a", 50, "ReleaseKv"), ("a", 60, "wake")]


def test_who_takes_anothers_place_has_just_been_made() -> None:
    stepper, busy = make(Probe("a", [])), Probe("a", [])
    busy.deadline_ns = 5
    with pytest.raises(ValueError, match="without a deadline"):
        stepper.exchange(busy)

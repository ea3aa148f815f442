"""What waits for the control plane: nothing is told before it is due, nothing is lost, and nobody is overtaken."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.envelope import Item
from scheduler.protocol.errors import ClusterError
from scheduler.protocol.messages import ArrivalsEnded, ReleaseKv, Usage, UsageReported
from scheduler.runtime import inbox
from scheduler.runtime.hops import LatenessHistogram
from scheduler.runtime.inbox import Inbox

LEAD_NS = 50
SENDERS = ("prefill-0", "decode-0", "network")


def item(due_ns: int, number: int = 0) -> Item:
    return ("core", due_ns, ReleaseKv([number]))


def make(lead_ns: int = LEAD_NS) -> tuple[Inbox, LatenessHistogram]:
    lateness = LatenessHistogram()
    return Inbox(lateness, lead_ns), lateness


@dataclass(frozen=True, slots=True)
class Said:
    """By whom, received when, and due when."""

    sender: str
    received_ns: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Died:
    """Whose process, noticed when."""

    sender: str
    at_ns: int


@st.composite
def happenings(draw: st.DrawFn) -> list[Said | Died | int]:
    """In the order of time; a number is a look into the inbox at that time."""
    happened: list[Said | Died | int] = []
    now_ns = 0
    for _ in range(draw(st.integers(1, 40))):
        now_ns += draw(st.integers(0, 30))
        sender = draw(st.sampled_from(SENDERS))
        match draw(st.sampled_from("sssssddtt" if happened else "s")):
            case "s":
                happened.append(Said(sender, now_ns, now_ns + draw(st.integers(-80, LEAD_NS))))
            case "d":
                happened.append(Died(sender, now_ns))
            case _:
                happened.append(now_ns)
    return [*happened, now_ns + LEAD_NS]


@given(happenings())
def test_nothing_is_early_nothing_is_lost_and_nobody_overtakes_himself(happened: list[Said | Died | int]) -> None:
    one, lateness = make()
    open_ids: dict[int, Said] = {}
    told: set[int] = set()
    for number, what in enumerate(happened):
        match what:
            case Said(sender, received_ns, due_ns):
                one.receive(sender, [item(due_ns, number)], received_ns)
                open_ids[number] = what
            case Died(sender, at_ns):
                one.forget(sender, at_ns)
                # What had not come yet never does, nor what was said after it.
                is_over = False
                for n in [n for n, said in open_ids.items() if said.sender == sender]:
                    is_over = is_over or open_ids[n].due_ns > at_ns
                    if is_over:
                        del open_ids[n]
            case now_ns:
                taken = one.take(now_ns)
                assert [due_ns for _, due_ns, _ in taken] == sorted(due_ns for _, due_ns, _ in taken)
                ids = [message.ids[0] for _, _, message in taken if isinstance(message, ReleaseKv)]
                assert len(ids) == len(taken)
                assert not told & set(ids)
                told.update(ids)
                for sender in SENDERS:
                    of_sender = [n for n, said in open_ids.items() if said.sender == sender]
                    # All up to the first that has not come.
                    early = next((n for n in of_sender if open_ids[n].due_ns > now_ns), NEVER_NS)
                    assert {n for n in of_sender if n < early} == {n for n in of_sender if n in ids}
                for n in ids:
                    del open_ids[n]
    assert not open_ids
    assert not one
    assert one.next_ns == NEVER_NS
    assert lateness.num_samples == len(told)


def test_whoever_is_to_be_woken_is_woken_when_the_first_of_them_is_due() -> None:
    one, lateness = make()
    one.receive("a", [item(130), item(140)], 100)
    one.receive("b", [item(120), item(90)], 100)
    assert (one.next_ns, len(one), lateness.num_samples) == (120, 4, 0)
    assert one.take(119) == []
    assert [due_ns for _, due_ns, _ in one.take(125)] == [90, 120]
    assert one.next_ns == 130
    assert [due_ns for _, due_ns, _ in one.take(140)] == [130, 140]
    assert (lateness.num_samples, lateness.sum_ns, lateness.max_ns) == (4, 35 + 5 + 10 + 0, 35)


def test_nobody_is_waited_for_longer_than_the_lead() -> None:
    one, _ = make(0)
    one.receive("a", [item(10**9)], 100)
    assert one.next_ns == NEVER_NS
    assert one.take(100) == [item(10**9)]
    one, _ = make()
    one.receive("a", [item(10**9), item(100)], 100)
    assert one.next_ns == 100 + LEAD_NS
    assert one.take(100 + LEAD_NS) == [item(100), item(10**9)]


def test_what_is_said_in_this_process_is_due_and_is_no_hop() -> None:
    one, lateness = make()
    one.add(("core", 70, ArrivalsEnded()))
    one.receive("a", [("core", 20, UsageReported("a", Usage(0, 20, 0, 0.0)))], 100)  # as of an earlier time on purpose
    assert [due_ns for _, due_ns, _ in one.take(100)] == [20, 70]
    assert lateness.num_samples == 0


def test_the_next_process_of_a_host_does_not_wait_for_what_the_one_before_it_said() -> None:
    one, _ = make()
    one.receive("a@0.0", [item(90), item(140)], 100)
    one.forget("a@0.0", 110)
    one.receive("a@0.1", [item(105)], 110)
    assert one.take(110) == [item(90), item(105)]
    assert not one


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_INBOX_ITEMS", 3)
    one, _ = make()
    one.receive("a", [item(90), item(120)], 100)
    with pytest.raises(ClusterError, match="too far behind: 4 messages wait"):
        one.receive("a", [item(95), item(130)], 100)

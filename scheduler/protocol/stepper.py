"""The stepper: the order in which components are woken and messages are delivered, on either clock.

    virtual   the stepper and a clock that jumps: `runtime.virtual` runs it until nothing is due
    live      the stepper and a clock that waits: `runtime.live` and each host of workers run it until now, and deliver
              what comes in from other processes, each message with the time at which it fell due

**The order.** A step wakes the component that is due first, in the total order (deadline, priority, position), and then
delivers all that is sent in consequence, in the order in which it was sent. So a message is delivered at the instant at
which it was sent, *before* any further deadline of that instant: whoever forms work (a pass, a step) has heard of
everything that happened at the instant, and no outcome depends on which of two workers happened to be woken first. On
the virtual clock every time is exact, and that is all there is to it.

**Live.** A clock that waits is always late: a message has crossed a process boundary, the loop was busy, a timer fired
after its time. What keeps this out of the results is that times are *due times*. A wake happens as of the deadline, not
as of now, and a message carries the emulated time at which it fell due, not that of its receipt. Before a message is
delivered, all that was due before it is woken. So a process in which nothing came late takes exactly the steps of the
virtual clock, and with hops that cost nothing a live run equals the virtual run: there is only one stepper.

A component's time does not go back: it handles a late message, one that fell due before what it did last, as of its own
time. That alone would be consistent, but lateness would pile up: the reply would fall due later, push ahead the time of
its receiver, and every round trip between busy components would add a hop to emulated time. Three rules prevent it
(`_handle_late`):

- A component without a deadline is idle and has no time of its own: its replies fall due with what it was told. A
  worker that hears late of work starts it at the time at which it was sent.
- So do those of a component that sets `backdates_replies`, since its timers have no part in them. The scheduler
  replies to a report as of the time of the report, whatever it has heard of others meanwhile.
- A component that sets `takes_late` is given due times as they are, and sees to it itself what can still change. The
  fabric counts a transfer from when it should have begun.

What is left is work that a busy component hears of too late for the step that it should have joined. A live run
measures how late messages are and says when that matters (`runtime.hops`). Where tokens must leave in time, a host runs
a little ahead of the wall: to this stepper, messages are then later by that much, and nothing else is new.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING

from scheduler.protocol.component import NEVER_NS, Component, Output, Outputs
from scheduler.protocol.messages import Message

if TYPE_CHECKING:  # a virtual run needs no codec
    from scheduler.protocol.envelope import Item


@dataclass(slots=True, eq=False)
class _Hosted:
    """A component as its stepper knows it: `deadline_ns` is the one of its latest entry in the heap.

    `rank`: its place in the order of (priority, position).
    """

    component: Component
    handle: Callable[[int, Message], Outputs]
    rank: int
    is_observer: bool
    last_ns: int
    deadline_ns: int = NEVER_NS


class Stepper:
    """Steps its components and keeps what they send to others, in the order that the head of this file states.

    Nothing happens before `began_ns`. Without others (`has_others`) no message can be late, so that nobody's time is
    kept, and one to an unknown address is a `KeyError`.
    """

    def __init__(self, components: Sequence[Component], began_ns: int = 0, *, has_others: bool = True) -> None:
        self.num_handled = 0
        self._began_ns = began_ns
        self._has_others = has_others
        self._is_stopped = False
        by_rank = sorted(components, key=lambda one: one.priority)
        self._hosted = [_Hosted(one, one.handle, rank, one.is_observer, began_ns) for rank, one in enumerate(by_rank)]
        hosted = {one.component.address: one for one in self._hosted}
        self._by_address = {one.address: hosted[one.address] for one in components}
        # Deadline and rank of a component in one integer, which is compared at a fraction of the cost of a pair.
        self._rank_bits = len(by_rank).bit_length()
        self._rank_mask = (1 << self._rank_bits) - 1
        self._heap: list[int] = []
        self._queue: deque[Output] = deque()
        self._due_ns = began_ns
        self._late_replies: deque[tuple[int, Outputs]] = deque()
        self._sent: list[Item] = []
        for one in self._hosted:
            self._note_deadline(one)

    @property
    def addresses(self) -> list[str]:
        """Addresses of the components, in order."""
        return list(self._by_address)

    @property
    def last_ns(self) -> int:
        """The latest time that any component was given."""
        return max((one.last_ns for one in self._hosted), default=0) if self._has_others else self._due_ns

    @property
    def deadline_ns(self) -> int:
        """When the next component wants to be woken; `NEVER_NS` if nobody does, or only observers do."""
        while self._heap:
            entry = self._heap[0]
            one, due_ns = self._hosted[entry & self._rank_mask], entry >> self._rank_bits
            if one.deadline_ns == due_ns == one.component.deadline_ns:
                return NEVER_NS if one.is_observer and not self._has_work() else due_ns
            self._drop_first()
        return NEVER_NS

    def stop(self) -> None:
        """Take no further step; what is being delivered still is. Safe to call from a signal handler."""
        self._is_stopped = True

    def exchange(self, component: Component) -> None:
        """From now on this one is at its address. It has just been made: it waits for a message, or a `ValueError`."""
        if component.deadline_ns != NEVER_NS:
            raise ValueError(f"{component.address}: who takes another's place begins without a deadline")
        one = self._by_address[component.address]
        one.component, one.handle, one.deadline_ns = component, component.handle, NEVER_NS

    def run_until(self, limit_ns: int) -> None:
        """Take steps until nobody is due at `limit_ns` or before, or only observers are."""
        # The innermost loop of every run, in one function: one call more for each message is a percent of a run.
        heap, hosted, by_address = self._heap, self._hosted, self._by_address
        queue, take, send = self._queue, self._queue.popleft, self._queue.extend
        late, has_others = self._late_replies, self._has_others
        rank_bits, rank_mask = self._rank_bits, self._rank_mask
        due_ns, num_handled = self._due_ns, 0
        while True:
            while queue:
                address, message = take()
                try:
                    one = by_address[address]
                except KeyError:
                    self._send_away(address, due_ns, message)
                    continue
                num_handled += 1
                if has_others:
                    if due_ns < one.last_ns:
                        self._handle_late(one, due_ns, message)
                        continue
                    one.last_ns = due_ns
                replies = one.handle(due_ns, message)
                if replies:
                    send(replies)
                deadline_ns = one.component.deadline_ns
                if deadline_ns != one.deadline_ns:
                    one.deadline_ns = deadline_ns
                    if deadline_ns != NEVER_NS:
                        heappush(heap, deadline_ns << rank_bits | one.rank)
            if late:
                due_ns, replies = late.popleft()
                send(replies)
                continue
            if not heap or self._is_stopped:
                break
            entry = heap[0]
            wake_ns = entry >> rank_bits
            if wake_ns > limit_ns:
                break
            one = hosted[entry & rank_mask]
            component = one.component
            # A component may let go of its deadline without being told anything: it is asked, too.
            if one.deadline_ns != wake_ns or component.deadline_ns != wake_ns:
                self._drop_first()
                continue
            if one.is_observer and not self._has_work():
                break
            due_ns = wake_ns
            if has_others:
                if wake_ns < one.last_ns:
                    due_ns = self._late_ns(one, wake_ns)
                else:
                    one.last_ns = wake_ns
            outputs = component.wake(due_ns)
            if outputs:
                send(outputs)
            deadline_ns = one.deadline_ns = component.deadline_ns
            # Nothing was pushed meanwhile, so the entry that woke the component is still on top.
            if deadline_ns == NEVER_NS:
                heappop(heap)
            else:
                heapreplace(heap, deadline_ns << rank_bits | one.rank)
        self._due_ns = due_ns
        self.num_handled += num_handled

    def deliver(self, address: str, due_ns: int, message: Message) -> None:
        """Wake what fell due before, then deliver one message and all that is sent in consequence."""
        self.run_until(due_ns - 1)
        self._due_ns = due_ns
        self._queue.append((address, message))
        self.run_until(due_ns - 1)

    def take_sent(self) -> list[Item]:
        """What was sent to others since the last call."""
        sent, self._sent = self._sent, []
        return sent

    def _drop_first(self) -> None:
        """The first entry of the heap is of a deadline that was moved; one that was moved unnoticed is noted now."""
        entry = heappop(self._heap)
        one = self._hosted[entry & self._rank_mask]
        if one.deadline_ns == entry >> self._rank_bits:
            self._note_deadline(one)

    def _has_work(self) -> bool:
        return any(one.component.deadline_ns != NEVER_NS for one in self._hosted if not one.is_observer)

    def _note_deadline(self, one: _Hosted) -> None:
        deadline_ns = one.deadline_ns = one.component.deadline_ns
        if deadline_ns != NEVER_NS:
            heappush(self._heap, deadline_ns << self._rank_bits | one.rank)

    def _send_away(self, address: str, due_ns: int, message: Message) -> None:
        if not self._has_others:
            raise KeyError(f"no component has the address {address!r}, to which {type(message).__name__} is sent")
        self._sent.append((address, due_ns, message))

    def _handle_late(self, one: _Hosted, due_ns: int, message: Message) -> None:
        """Deliver what fell due before the component's own last time; what it replies may fall due later than that."""
        now_ns = self._late_ns(one, due_ns)
        replies = one.handle(now_ns, message)
        has_own_time = one.component.deadline_ns != NEVER_NS and not one.component.backdates_replies
        if replies:
            self._late_replies.append((now_ns if has_own_time else due_ns, replies))
        if one.component.deadline_ns != one.deadline_ns:
            self._note_deadline(one)

    def _late_ns(self, one: _Hosted, due_ns: int) -> int:
        """As of when a component does what fell due before its own last time."""
        return max(due_ns, self._began_ns) if one.component.takes_late else one.last_ns

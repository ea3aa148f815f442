"""The contract between anything that holds state and the runtime that gives it time and messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from scheduler.protocol.messages import Message

NEVER_NS: Final = 2**62 - 1
"""A deadline that does not come; the largest integer that compiled code handles without an object."""

Output = tuple[str, Message]
"""A message and the address that it goes to."""

Outputs = Sequence[Output]
"""What a component returns: the messages that it sends, in order. Nobody changes them once they are returned."""

NOTHING: Final[Outputs] = ()


class Priority:
    """Order of components whose deadlines fall on one instant; lower wakes first.

    A trace source comes first, so that everything that arrives at an instant is known when work is formed; decode comes
    last, so that a step boundary sees all that was delivered at its instant. An observer comes before all: what it
    notes is how things stood before its instant.
    """

    OBSERVER: Final = -1
    SOURCE: Final = 0
    FABRIC: Final = 1
    CACHE: Final = 2
    CORE: Final = 3
    PREFILL: Final = 4
    DECODE: Final = 5


class TimingFlags(Protocol):
    """What a runtime has to know of how a component stands to time: each False unless its class says otherwise.

    Components inherit this and state only the flags that differ; `Around` forwards them all. A runtime reads them once.
    """

    takes_late: bool = False
    """It is given a late message as of the time at which that fell due, and woken as of its deadline, even if that is
    before the time of an earlier call. It sees to it itself what a late message can still change."""

    backdates_replies: bool = False
    """What it returns for a late message falls due when that message did, even while it waits for a deadline: its
    timers have no part in its replies."""

    runs_ahead: bool = False
    """A host that is told to may wake it up to a lead before its deadline, as of the deadline. What it is told of the
    time between comes late, and it does not matter much: it has its place in what begins at the next deadline."""

    is_observer: bool = False
    """It looks at a run and never prolongs it: it is woken only while another component has a deadline."""


class Component(TimingFlags, Protocol):
    """A sans-IO state machine: it is handed the time and returns messages and its next deadline.

    `deadline_ns` is read by the runtime after each call; the runtime calls `wake` when that time has come. A wake that
    comes early (the deadline moved meanwhile) is dropped by the runtime, never delivered. Between two calls a deadline
    may go to `NEVER_NS`, never come nearer. Times are integer nanoseconds of emulated time and never fall from one call
    to the next, but for who sets `takes_late`; what becomes of late messages is told at the head of `stepper`.

    **What it may raise.** What goes wrong in the emulated system (a lost worker, a broken link, a full memory, a
    cancelled request) is a message, never an exception. An exception ends the run, and nobody goes on with a component
    that raised one. An `InputError` says that what the user gave cannot be used, such as a line of a trace, with place
    and fix: exit code 2. Everything else is a defect: a `LifecycleError` (an event that a request's state does not
    allow), a `KeyError` (a message of a kind that is not for this component), whatever else: exit code 3.

    `VirtualRuntime.run` raises it as it is, and so does `LiveRuntime.run` for components in its own process. A host of
    workers stops, and raises it from the call that delivered the message or, if a wake raised it, from the next call,
    a heartbeat later at most; across processes our own errors stay what they are, and any other becomes a
    `ClusterError` that names host, type and text. `LiveRuntime.run` raises that. Only when a run has ended and the host
    was asked for its last account is a `ClusterError` a warning, since all else is accounted for.
    """

    address: str
    priority: int

    @property
    def deadline_ns(self) -> int:
        """When to wake it next."""
        ...

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Take one message."""
        ...

    def wake(self, now_ns: int) -> Outputs:
        """Do what fell due at `deadline_ns`."""
        ...


class Around(TimingFlags):
    """A component around a component, and in all that a subclass does not change, that component.

    The base of every wrapper: address, priority, deadline and each timing flag are those of the component inside.
    """

    def __init__(self, inner: Component) -> None:
        self.inner = inner
        self.address = inner.address
        self.priority = inner.priority
        for flag in TimingFlags.__annotations__:
            setattr(self, flag, getattr(inner, flag))

    @property
    def deadline_ns(self) -> int:
        """That of the component inside."""
        return self.inner.deadline_ns

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Pass one message on."""
        return self.inner.handle(now_ns, message)

    def wake(self, now_ns: int) -> Outputs:
        """Pass the wake on."""
        return self.inner.wake(now_ns)

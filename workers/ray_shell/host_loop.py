"""What a host of workers does, whatever carries its envelopes: take commands, wake its components on time, report."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.envelope import (
    MAX_IN_FLIGHT,
    MAX_ITEMS,
    Envelope,
    Inbound,
    Outbox,
    decode_envelope,
    encode_envelope,
)
from scheduler.protocol.messages import ReportUsage, RunEnded
from scheduler.protocol.stepper import Stepper


class HostClock(Protocol):
    """Emulated time, and a way to wait for it."""

    def now_ns(self) -> int:
        """Emulated nanoseconds since clock zero."""
        ...

    async def wait(self, changed: asyncio.Event, deadline_ns: int) -> None:
        """Return when `changed` is set or emulated time has reached `deadline_ns`."""
        ...


class HostLoop:
    """Components with a timer. `post` carries an envelope to the control plane and returns when it has arrived.

    What is sent as of a time before `began_ns` is handled as of that.

    **Ahead of the wall.** With `lead_ns`, if all its components allow it (`runs_ahead`), each is woken that much
    emulated time before its deadline, as of its deadline, and never sooner: so what it has to say leaves early, and is
    at the control plane when it falls due, where it is held until then (`scheduler.runtime.inbox`).
    """

    def __init__(
        self,
        name: str,
        components: Sequence[Component],
        clock: HostClock,
        post: Callable[[bytes], Awaitable[None]],
        began_ns: int = 0,
        lead_ns: int = 0,
    ) -> None:
        self._stepper = Stepper(components, began_ns)
        self._lead_ns = lead_ns if all(one.runs_ahead for one in components) else 0
        self._clock = clock
        self._post = post
        self._inbound = Inbound()
        self._outbox = Outbox(name)
        self._changed = asyncio.Event()
        self._posts: set[asyncio.Task[None]] = set()
        self._num_in_flight = 0
        self._error: Exception | None = None
        self._is_ended = False

    def receive(self, data: bytes) -> bytes:
        """Take an envelope; returns the next one, with what was sent in reply, even if that is nothing.

        Never waits, so that the order of calls is the order of receipt. Raises what a component raised, in this call or
        in a wake before it, or what a post raised that nobody awaited; then nothing goes on.
        """
        if self._error is not None:
            raise self._error
        envelope = decode_envelope(data)
        now_ns = self._clock.now_ns()
        # Usage is asked for as of an earlier time on purpose.
        lateness_ns = [now_ns - due_ns for _, due_ns, message in envelope.items if type(message) is not ReportUsage]
        try:
            for ready in self._inbound.take(envelope):
                for address, due_ns, message in ready.items:
                    self._stepper.deliver(address, due_ns, message)
                    self._is_ended = self._is_ended or type(message) is RunEnded
            if not self._is_ended:
                self._stepper.run_until(now_ns + self._lead_ns)
        except Exception as error:
            self._error = error  # nobody goes on with a component that raised one
            raise
        self._gather()
        # The deadline may have moved.
        self._changed.set()
        return encode_envelope(self._next(lateness_ns))

    async def run(self) -> None:
        """Wake the components when they want to be, until the run has ended."""
        try:
            while not self._is_ended and self._error is None:
                self._changed.clear()
                self._stepper.run_until(self._clock.now_ns() + self._lead_ns)
                self._gather()
                while len(self._outbox) and self._num_in_flight < MAX_IN_FLIGHT:
                    self._start_post()
                await self._clock.wait(self._changed, self._wake_ns())
        except Exception as error:  # noqa: BLE001 - the next call of `receive` raises it at the control plane
            self._error = error

    def _wake_ns(self) -> int:
        deadline_ns = self._stepper.deadline_ns
        return NEVER_NS if deadline_ns == NEVER_NS else deadline_ns - self._lead_ns

    def _gather(self) -> None:
        for item in self._stepper.take_sent():
            self._outbox.add(item)

    def _next(self, lateness_ns: list[int] | None = None) -> Envelope:
        stepper = self._stepper
        deadline_ns = NEVER_NS if self._is_ended else stepper.deadline_ns
        if len(self._outbox) > MAX_ITEMS:
            deadline_ns = stepper.last_ns  # not all goes into this envelope: there is more to come at once
        return self._outbox.next(self._inbound.num_received, deadline_ns, stepper.last_ns, lateness_ns)

    def _start_post(self) -> None:
        self._num_in_flight += 1
        task = asyncio.create_task(self._run_post(encode_envelope(self._next())))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _run_post(self, data: bytes) -> None:
        try:
            await self._post(data)
        except Exception as error:  # noqa: BLE001 - the next call of `receive` raises it at the control plane
            self._error = self._error or error
        # Not left to the end of the task: who wakes of this comes first, and would leave what waits to the next wake.
        self._num_in_flight -= 1
        self._changed.set()

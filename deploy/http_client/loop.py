"""Drives sources and what stands in the core's place on the wall clock, and sends what is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from deploy.http_client.front import Answered, Asked, ServiceFront
from scheduler.core.request_table import NOT_YET
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.stepper import Stepper
from scheduler.runtime.clock import Clock

Send = Callable[[Asked, Answered], Coroutine[Any, Any, None]]
"""Sends a request and notes what comes of it as it comes."""


class ClientLoop:
    """`run` until nothing is due and nothing is open, or `stop`; raises the first error of a source or of `send`."""

    def __init__(self, sources: Sequence[Component], front: ServiceFront, send: Send, clock: Clock) -> None:
        self._stepper: Final = Stepper([*sources, front])
        self._front = front
        self._send = send
        self._clock = clock
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # Of open requests, and of those whose tasks have ended since the last turn.
        self._open: dict[asyncio.Task[None], tuple[int, Answered]] = {}
        self._done: list[asyncio.Task[None]] = []
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether it was ended early."""
        return self._is_stopped

    def stop(self) -> None:
        """End it at once; safe to call from a signal handler."""
        self._is_stopped = True
        self._loop.call_soon_threadsafe(self._changed.set)

    async def run(self) -> None:
        """Play; what is open when it is stopped ends as interrupted, its connections closed."""
        try:
            while not self._is_stopped:
                self._changed.clear()
                self._turn()
                if self._stepper.deadline_ns == NEVER_NS and not self._open:
                    return
                await self._clock.wait(self._changed, self._stepper.deadline_ns)
        finally:
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
        now_ns = self._clock.now_ns()
        for request_id, answer in self._open.values():
            if answer.ended_ns == NOT_YET:
                answer.ended_ns = now_ns
            self._front.answered(request_id, answer)

    def _turn(self) -> None:
        """Tell of answers in the order of their ends, let sources do what is due, send what comes of it."""
        tasks, self._done = self._done, []
        for task in tasks:
            task.result()
        for request_id, answer in sorted((self._open.pop(task) for task in tasks), key=_ended_ns):
            told = self._front.answered(request_id, answer)
            if told is not None:
                self._stepper.deliver(told[0], answer.ended_ns, told[1])
        self._stepper.run_until(self._clock.now_ns())
        for asked in self._front.take_asked():
            answer = Answered()
            task = asyncio.create_task(self._send(asked, answer))
            self._open[task] = asked.request_id, answer
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._done.append(task)
        self._changed.set()


def _ended_ns(one: tuple[int, Answered]) -> int:
    return one[1].ended_ns

"""How guests hear what the core handles: a handler of one kind of message, and around it those who listen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scheduler.core.guest import Guest
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import Message

Handler = Callable[[int, Any], Outputs]


def with_guests(handler: Handler, guests: list[Guest]) -> Handler:
    """A handler that also asks those who listen to its message; a guest that does not override a call costs nothing."""
    befores = [(guest.before, guest) for guest in guests if type(guest).before is not Guest.before]
    afters = [(guest.after, guest) for guest in guests if type(guest).after is not Guest.after]
    if not (befores or afters):
        return handler
    if len(befores) == 1 and not afters:  # the metrics alone, which is the rule
        return _after_one(befores[0][0], handler)
    if len(befores) == 2 and not afters:  # the metrics, and who measures the load for an autoscaler
        return _after_two(befores[0][0], *befores[1], handler)

    def handle(now_ns: int, message: Message) -> Outputs:
        first: Outputs = NOTHING
        for before, guest in befores:
            if outputs := before(now_ns, message):
                first = joined(first, outputs, guest)
        outputs = handler(now_ns, message)
        if first:
            outputs = [*first, *outputs]
        for after, guest in afters:
            if more := after(now_ns, message):
                outputs = joined(outputs, more, guest)
        return outputs

    return handle


def _after_one(before: Handler, handler: Handler) -> Handler:
    def handle(now_ns: int, message: Message) -> Outputs:
        first = before(now_ns, message)
        outputs = handler(now_ns, message)
        return [*first, *outputs] if first else outputs

    return handle


def _after_two(before: Handler, also_before: Handler, second: Guest, handler: Handler) -> Handler:
    def handle(now_ns: int, message: Message) -> Outputs:
        first = before(now_ns, message)
        if more := also_before(now_ns, message):
            first = joined(first, more, second)
        outputs = handler(now_ns, message)
        return [*first, *outputs] if first else outputs

    return handle


def joined(outputs: Outputs, more: Outputs, guest: Guest) -> Outputs:
    """What is sent, with what a guest adds."""
    return [*more, *outputs] if guest.goes_first else [*outputs, *more]

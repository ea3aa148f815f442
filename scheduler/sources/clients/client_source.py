"""The component that plays clients: each waits for the end of its request before it asks for the next."""

from __future__ import annotations

from typing import Final

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Output, Outputs, Priority, TimingFlags
from scheduler.protocol.finish import FINISHED
from scheduler.protocol.messages import (
    NO_ANSWER,
    NO_SESSION,
    ArrivalsEnded,
    Message,
    RequestsArrived,
    RequestsEnded,
    SessionsClosed,
)
from scheduler.sources.clients.gates import Gates
from scheduler.sources.clients.supply import Asked, Supply

_ANSWERED: Final = frozenset(int(reason) for reason in FINISHED)


class ClientSource(TimingFlags):
    """Sends what is ready as soon as a client of its class is free, and `ArrivalsEnded` with the last of it.

    It is told by `RequestsEnded` what has ended. All its times count from the ends that it is told of, so that on a
    live cluster a client that hears late of an end asks again as of the time at which it would have.
    """

    address = "source"
    priority = Priority.SOURCE
    takes_late = True
    backdates_replies = True

    def __init__(self, supply: Supply, gates: Gates, block_tokens: int) -> None:
        self._supply = supply
        self._gates = gates
        self._block_tokens = block_tokens
        # Of requests in flight, by key.
        self._gate_of: dict[int, str] = {}
        self._has_said_all = False
        self._is_over = False
        self.deadline_ns = NEVER_NS
        self._plan()

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Requests ended; or the run has, and nothing more is sent."""
        if not isinstance(message, RequestsEnded):
            self._is_over = True
            self.deadline_ns = NEVER_NS
            return NOTHING
        if self._is_over:
            return NOTHING
        closed: list[int] = []
        for key, reason, ended_ns in zip(message.keys, message.reasons, message.ended_ns, strict=True):
            self._gates[self._gate_of.pop(key)].give_back(ended_ns)
            closed += self._supply.ended(key, ended_ns, has_answer=reason in _ANSWERED)
        outputs = self._ask(now_ns)
        return [(CORE_ADDRESS, SessionsClosed(closed)), *outputs] if closed else outputs

    def wake(self, now_ns: int) -> Outputs:
        """A client is free and a request ready."""
        return self._ask(now_ns)

    def _ask(self, now_ns: int) -> Outputs:
        """All that can be sent at this instant, as one message."""
        supply, asked = self._supply, list[Asked]()
        for name, gate in self._gates.items():
            while gate.next_ns <= now_ns and supply.next_ns(name) <= now_ns:
                gate.take()
                one = supply.take(name, now_ns)
                self._gate_of[one.key] = name
                asked.append(one)
        outputs: list[Output] = [(CORE_ADDRESS, self._arrived(asked))] if asked else []
        if not (supply.has_more or self._has_said_all):
            self._has_said_all = True
            outputs.append((CORE_ADDRESS, ArrivalsEnded()))
        self._plan()
        return outputs

    def _plan(self) -> None:
        """When a client is free and a request ready, as far as that is known."""
        supply = self._supply
        self.deadline_ns = min(max(gate.next_ns, supply.next_ns(name)) for name, gate in self._gates.items())

    def _arrived(self, asked: list[Asked]) -> RequestsArrived:
        keys, prompt_tokens, payloads, prefixes, tenants, classes, answers, sessions = map(list, zip(*asked))
        return RequestsArrived(
            prompt_tokens,
            payloads,
            prefixes,
            tenants,
            self._block_tokens,
            classes if any(classes) else [],
            answers if any(answer != NO_ANSWER for answer in answers) else [],
            sessions if any(session != NO_SESSION for session in sessions) else [],
            self.address,
            keys,
        )

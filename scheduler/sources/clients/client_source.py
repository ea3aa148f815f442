"""The component that plays clients: each waits for the end of its request before it asks for the next."""

from __future__ import annotations

from typing import Final, TypeVar

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
    RunEnded,
    SessionsClosed,
)
from scheduler.sources.clients.gates import Gate, Gates
from scheduler.sources.clients.log import ClientsLog
from scheduler.sources.clients.supply import Asked, Supply

Value = TypeVar("Value", str, int)

_ANSWERED: Final = frozenset(int(reason) for reason in FINISHED)


class ClientSource(TimingFlags):
    """Sends what is ready as soon as a client of its class is free, and `ArrivalsEnded` with the last of it.

    It is told by `RequestsEnded` what has ended. All its times count from the ends that it is told of, so that on a
    live cluster a client that hears late of an end asks again as of the time at which it would have, and says so
    (`arrived_ns`). Errors of the trace pass through the constructor, `handle` and `wake`.
    """

    address = "source"
    priority = Priority.SOURCE
    takes_late = True
    backdates_replies = True

    def __init__(self, supply: Supply, gates: Gates, block_tokens: int, log: ClientsLog | None = None) -> None:
        self.log: Final = ClientsLog() if log is None else log
        self._supply = supply
        self._gates = gates
        self._block_tokens = block_tokens
        # Of requests in flight, by key.
        self._gate_of: dict[int, Gate] = {}
        self._has_said_all = False
        self._is_over = False
        self.deadline_ns = NEVER_NS
        self._plan(0)

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Requests ended; or the run has, and nothing more is sent."""
        if isinstance(message, RequestsEnded):
            return NOTHING if self._is_over else self._on_ended(now_ns, message)
        if isinstance(message, RunEnded):
            self._is_over = True
            self.deadline_ns = NEVER_NS
            return NOTHING
        raise KeyError(f"{type(message).__name__} is nothing that clients are told")

    def wake(self, now_ns: int) -> Outputs:
        """A client is free and a request ready."""
        return self._ask(now_ns)

    def warnings(self) -> list[str]:
        """A line for a person on requests that never came."""
        num = self._supply.num_given_up
        return [f"{num:,} requests never came: what they wait for got no whole answer"] if num else []

    def _on_ended(self, now_ns: int, message: RequestsEnded) -> Outputs:
        gate_of, ended = self._gate_of, self._supply.ended
        closed: list[int] = []
        for key, reason, ended_ns in zip(message.keys, message.reasons, message.ended_ns, strict=True):
            gate_of.pop(key).give_back(ended_ns, key=key)
            closed += ended(key, ended_ns, has_answer=reason in _ANSWERED)
        outputs = self._ask(now_ns)
        return [(CORE_ADDRESS, SessionsClosed(closed)), *outputs] if closed else outputs

    def _ask(self, now_ns: int) -> Outputs:
        """All that can be sent at this instant, as one message."""
        supply, asked, log = self._supply, list[Asked](), self.log.asked
        for name, gate in self._gates.items():
            while gate.next_ns <= now_ns and supply.next_ns(name, now_ns) <= now_ns:
                place = gate.take()
                one = supply.take(name, now_ns)
                self._gate_of[one.key] = gate
                if log is not None:
                    log.add(one.key, *place)
                asked.append(one)
        outputs: list[Output] = [(CORE_ADDRESS, self._arrived(now_ns, asked))] if asked else []
        if not (supply.has_more or self._has_said_all):
            self._has_said_all = True
            outputs.append((CORE_ADDRESS, ArrivalsEnded()))
        self._plan(now_ns)
        return outputs

    def _plan(self, now_ns: int) -> None:
        """When a client is free and a request ready, as far as that is known."""
        supply, deadline_ns = self._supply, NEVER_NS
        for name, gate in self._gates.items():
            free_ns = gate.next_ns
            if free_ns != NEVER_NS:
                deadline_ns = min(deadline_ns, max(free_ns, supply.next_ns(name, now_ns)))
        self.deadline_ns = deadline_ns

    def _arrived(self, now_ns: int, asked: list[Asked]) -> RequestsArrived:
        # Mostly of one request: a list for each column costs less than turning rows into columns.
        return RequestsArrived(
            [one.prompt_tokens for one in asked],
            [one.payload for one in asked],
            [one.prefix for one in asked],
            [one.tenant for one in asked],
            self._block_tokens,
            _known([one.class_name for one in asked], ""),
            _known([one.answer for one in asked], NO_ANSWER),
            _known([one.session for one in asked], NO_SESSION),
            self.address,
            [one.key for one in asked],
            now_ns,
        )


def _known(column: list[Value], unknown: Value) -> list[Value]:
    """The column, or an empty list if nothing is known of any request."""
    return [] if column.count(unknown) == len(column) else column

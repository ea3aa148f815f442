"""What stands in the core's place: takes what sources send, and notes in a request table what a client sees of it."""

from __future__ import annotations

from array import array
from typing import Final

from msgspec import Struct, field

from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.warmup_watch import WarmupWatch
from scheduler.metrics.warmup import Warmup
from scheduler.policies.classes import ClassBook
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import (
    NO_SESSION,
    ArrivalsEnded,
    Message,
    RequestsArrived,
    RequestsEnded,
    SessionsClosed,
)
from scheduler.protocol.sealed_payload import open_output_tokens


class Asked(Struct, frozen=True):
    """A request that is due; columns as in `RequestsArrived`. `due_ns`: when its source sent it."""

    request_id: int
    due_ns: int
    prompt_tokens: int
    output_tokens: int
    prefix: list[int]
    block_tokens: int
    tenant: int
    class_name: str
    session: int


def _no_times() -> array[int]:
    return array("q")


class Answered(Struct):
    """What came of a request, in nanoseconds of the client's clock; `NOT_YET` for what never came.

    `gaps_ns`: between events with text, which may bring several tokens each. `late_ns`: of each event, as the service
    told. `problem`: why it has no answer, for a person.
    """

    reason: FinishReason = FinishReason.INTERRUPTED
    sent_ns: int = NOT_YET
    first_ns: int = NOT_YET
    last_ns: int = NOT_YET
    ended_ns: int = NOT_YET
    output_tokens: int = 0
    cached_tokens: int = 0
    gaps_ns: array[int] = field(default_factory=_no_times)
    late_ns: array[int] = field(default_factory=_no_times)
    problem: str = ""


class ServiceFront(TimingFlags):
    """`take_asked` are requests to be sent now; whoever sent one says `answered`, and passes on what that returns.

    The table has the columns that a client can fill. Times count from when a request was sent, so that `late_sent_ns`
    tells apart what a client that was late added. `gaps_ns`, `late_sent_ns` and `late_tokens_ns` are pooled over all
    requests but those of the `warmup`, whose end the `collector` notes; it logs nothing else. `problems` are counted by
    their text.
    """

    address = CORE_ADDRESS
    priority = Priority.CORE
    takes_late = True
    deadline_ns = NEVER_NS

    def __init__(self, classes: ClassBook, warmup: Warmup | None = None) -> None:
        self.table: Final = RequestTable()
        self.collector: Final = Collector(self.table, ())
        self.gaps_ns: Final = array("q")
        self.late_sent_ns: Final = array("q")
        self.late_tokens_ns: Final = array("q")
        self.problems: Final = dict[str, int]()
        self.ended_ns = 0
        self._classes = classes
        self._warmup = WarmupWatch(self.collector, warmup) if warmup else None
        self._asked: list[Asked] = []
        # Of open requests: who is told of their end, and by what name.
        self._owners: dict[int, tuple[str, int]] = {}

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Requests arrived; that no more come needs no answer here."""
        if isinstance(message, RequestsArrived):
            if self._warmup is not None:
                self._warmup.before(now_ns, message)
            self._arrive(now_ns, message)
        elif not isinstance(message, ArrivalsEnded | SessionsClosed):
            raise KeyError(f"{type(message).__name__} is nothing that a service is told")
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Nothing is due at any time."""
        return NOTHING

    def take_asked(self) -> list[Asked]:
        """What is to be sent."""
        asked, self._asked = self._asked, []
        return asked

    def answered(self, request_id: int, answer: Answered) -> tuple[str, RequestsEnded] | None:
        """Note what came of a request; returns whom to tell of its end, if anybody wants to know."""
        table = self.table
        is_counted = self._is_counted(request_id)
        if answer.sent_ns != NOT_YET:
            if is_counted:
                self.late_sent_ns.append(answer.sent_ns - table.arrived_ns[request_id])
            table.arrived_ns[request_id] = answer.sent_ns
        table.first_token_ns[request_id] = answer.first_ns
        table.last_token_ns[request_id] = answer.last_ns
        table.output_tokens[request_id] = answer.output_tokens
        table.cached_tokens[request_id] = answer.cached_tokens
        table.end([request_id], answer.reason, answer.ended_ns)
        if is_counted:
            self.gaps_ns.extend(answer.gaps_ns)
            self.late_tokens_ns.extend(answer.late_ns)
        self.ended_ns = max(self.ended_ns, answer.ended_ns)
        if answer.reason not in FINISHED and answer.problem:
            self.problems[answer.problem] = self.problems.get(answer.problem, 0) + 1
        reply_to, key = self._owners.pop(request_id)
        return (reply_to, RequestsEnded([key], [answer.reason], [answer.ended_ns])) if reply_to else None

    def _is_counted(self, request_id: int) -> bool:
        end = self.collector.warmup_end
        return self._warmup is None or (end is not None and request_id >= end.first_request)

    def _arrive(self, now_ns: int, message: RequestsArrived) -> None:
        ids = self.table.add(now_ns, message.prompt_tokens)
        indices = self._classes.indices(message.classes, message.tenants)
        for row, request_id in enumerate(ids):
            session = message.sessions[row] if message.sessions else NO_SESSION
            self.table.request_class[request_id] = indices[row]
            self.table.session[request_id] = session
            self._owners[request_id] = message.reply_to, message.keys[row] if message.keys else request_id
            self._asked.append(
                Asked(
                    request_id,
                    now_ns,
                    message.prompt_tokens[row],
                    open_output_tokens(message.payloads[row]),
                    message.prefixes[row],
                    message.block_tokens,
                    message.tenants[row],
                    message.classes[row] if message.classes else "",
                    session,
                )
            )

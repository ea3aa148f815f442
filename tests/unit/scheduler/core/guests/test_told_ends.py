"""Sources are told of the ends of what they asked for, and of nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.core.guest import Guest
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import AS_HEARD, Message, RequestsArrived, RequestsEnded, RunEnded
from tests.unit.scheduler.core.told import PROMPT_TOKENS, Told


def asked(keys: list[int], source: str, *, prompt_tokens: int = PROMPT_TOKENS, arrived_ns: int = AS_HEARD) -> Message:
    number = len(keys)
    columns = [prompt_tokens] * number, [b"p"] * number, [[]] * number, [0] * number
    return RequestsArrived(*columns, 10, reply_to=source, keys=keys, arrived_ns=arrived_ns)


def ends_of(said: dict[str, list[Message]], source: str) -> list[RequestsEnded]:
    return [message for message in said.get(source, []) if isinstance(message, RequestsEnded)]


class Hearing(Guest):
    """Notes who ended."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def ended(self, now_ns: int, ids: Sequence[int]) -> Outputs:
        """Note them."""
        self.heard += ids
        return NOTHING


def test_each_source_hears_of_its_own_by_its_own_names_and_the_others_of_nothing() -> None:
    told = Told()
    told.arrive(1)
    told.tell(asked([7, 5], "one"))
    told.tell(asked([7], "two"))
    said = told.tell(RunEnded(interrupted=True))
    reason = int(FinishReason.INTERRUPTED)
    assert ends_of(said, "one") == [RequestsEnded([7, 5], [reason] * 2, [told.now_ns] * 2)]
    assert ends_of(said, "two") == [RequestsEnded([7], [reason], [told.now_ns])]
    assert set(said) <= {"one", "two"}


def test_who_is_turned_away_is_told_at_once_and_after_all_else() -> None:
    told = Told()
    said = told.tell(asked([3], "one", prompt_tokens=10**6))
    assert ends_of(said, "one") == [RequestsEnded([3], [int(FinishReason.TOO_LONG)], [told.now_ns])]


def test_nobody_is_told_of_what_ended_before_it_listened() -> None:
    told, early, late = Told(), Hearing(), Hearing()
    told.core.add_guest(early)
    told.tell(asked([0], "one", prompt_tokens=10**6))
    told.core.add_guest(late)
    told.tell(asked([1], "one", prompt_tokens=10**6))
    assert (early.heard, late.heard) == ([0, 1], [1])
    told, late = Told(), Hearing()
    told.tell(RequestsArrived([10**6], [b"p"], [[]], [0], 10))
    told.core.add_guest(late)
    told.tell(RequestsArrived([10**6], [b"p"], [[]], [0], 10))
    assert late.heard == [1]


def test_a_request_that_is_heard_of_late_arrived_when_its_client_says() -> None:
    told = Told()
    told.now_ns = 500
    told.tell(asked([0], "one", arrived_ns=320))
    told.tell(asked([1], "one"))
    assert list(told.core.table.arrived_ns[:2]) == [320, 502]

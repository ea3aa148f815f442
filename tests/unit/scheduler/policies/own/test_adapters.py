"""What the core makes of a user's classes, whatever they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from scheduler.policies.admission import AdmissionView
from scheduler.policies.failures import BrokenOffError, PolicyFailedError
from scheduler.policies.own.adapters import OwnAdmission, OwnOrder, OwnRouting
from scheduler.policies.view import READS_ALL, Columns, Reads, RequestView
from scheduler.policies.waiting import WaitingRequest
from scheduler.protocol.errors import ConfigError

STAGE = Columns([3, 1], [30, 10], [1, 1], [5, 6], [50, 60], [1.0, 2.0], [7, 8], [9, 10], [0, 1])
REQUEST = RequestView(5, 100, 120, 20, [1, 2, 3], 4, 512, [64, 0], [1.0, 2.0], [3.0, 4.0], 9)


class PlainAsk:
    """Calls, and tells failures without their place."""

    name = "own.py:Own"

    def __call__(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return call(*arguments)

    def failed(self, method: object, what: str) -> PolicyFailedError:
        return PolicyFailedError(what)


@dataclass
class Says:
    """Every method returns, or raises, what it was made with."""

    answer: Any

    def choose(self, *_: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    choose_pair = admits = key = scores = choose


def waiting(request_id: int, tokens: int) -> WaitingRequest:
    return WaitingRequest(request_id, 0, tokens)


@pytest.mark.parametrize("answer", [None, 1.0, "0", 2, -1, [0]])
def test_a_choice_that_is_no_index_is_told_as_what_it_is(answer: object) -> None:
    told = f"choose() returned {answer!r}; return an index from 0 to 1"
    with pytest.raises(PolicyFailedError) as caught:
        OwnRouting(Says(answer), PlainAsk()).choose(STAGE, REQUEST)
    assert str(caught.value) == told


@pytest.mark.parametrize("answer", [None, 1, (0,), (0, 1, 1), (0, 2), (None, 0)])
def test_a_pair_is_two_indices(answer: object) -> None:
    policy: Any = OwnRouting(Says(answer), PlainAsk())
    with pytest.raises(PolicyFailedError, match="return"):
        policy.choose_pair(STAGE, STAGE, REQUEST)
    policy = OwnRouting(Says((1, 0)), PlainAsk())
    assert policy.choose_pair(STAGE, STAGE, REQUEST) == (1, 0)


@pytest.mark.parametrize("reads", ["load", 3, None, [Reads.REQUEST], Reads(64)])
def test_a_wrong_reads_is_one_line(reads: object) -> None:
    policy = Says(0)
    policy.reads = reads  # pyright: ignore[reportAttributeAccessIssue]
    for adapter in (OwnRouting, OwnAdmission):
        with pytest.raises(ConfigError, match=r"own\.py:Own: reads .*; write such as reads = Reads\.REQUEST"):
            adapter(policy, PlainAsk())


@pytest.mark.parametrize("reads", [Reads.LOAD, Reads.REQUEST | Reads.REPORTS, ~Reads.PREDICTIONS, READS_ALL])
def test_what_is_declared_is_kept(reads: Reads) -> None:
    policy = Says(0)
    policy.reads = reads  # pyright: ignore[reportAttributeAccessIssue]
    assert OwnRouting(policy, PlainAsk()).reads == Reads(reads.value & 15)


@pytest.mark.parametrize(("answer", "admitted", "failures"), [(True, True, 0), (False, False, 0), (None, True, 1)])
def test_admission_that_fails_lets_in(answer: object, admitted: bool, failures: int) -> None:
    admission = OwnAdmission(Says(answer), PlainAsk())
    assert admission.admits(waiting(0, 10), AdmissionView(0)) is admitted
    assert admission.failures.count == failures


def test_a_broken_off_call_is_no_failure() -> None:
    admission, order = (kind(Says(BrokenOffError()), PlainAsk()) for kind in (OwnAdmission, OwnOrder))
    assert isinstance(admission, OwnAdmission)
    assert isinstance(order, OwnOrder)
    assert admission.admits(waiting(0, 10), AdmissionView(0))
    order.add(waiting(0, 10))
    assert (admission.failures.count, order.failures.count) == (0, 0)


class Shortest:
    """Fails for a request of no tokens."""

    def key(self, request: WaitingRequest) -> float | None:
        return request.num_tokens or None


def test_an_order_keeps_everybody_and_lets_who_has_no_key_go_last() -> None:
    order = OwnOrder(Shortest(), PlainAsk())
    for request_id, tokens in enumerate([50, 0, 10, 20, 10]):
        order.add(waiting(request_id, tokens))
    order.remove(3)
    assert [order.take().request_id for _ in range(len(order))] == [2, 4, 0, 1]
    assert (order.failures.count, order.failures.first_error) == (1, "key() returned None; return a number")

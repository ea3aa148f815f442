"""Pairs: chosen together, kept for each other, and counted until then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.open_requests import OpenRequests, RequestFacts
from scheduler.core.request_table import RequestTable
from scheduler.core.routing.stages import Routing
from scheduler.policies import make_routing_policy
from scheduler.policies.view import READS_ALL, Reads, RequestView, StageView
from scheduler.protocol.messages import RequestsArrived

Answer = Callable[[StageView, StageView], tuple[int, int]]


class Pairing:
    """Chooses as it is told, and alone always the last."""

    reason = "pairing: as told"

    def __init__(self, answer: Answer, reads: Reads) -> None:
        self.reads = reads
        self._answer = answer

    def choose(self, stage: StageView, request: RequestView) -> int:
        return len(stage.outstanding_requests) - 1

    def choose_pair(self, prefill: StageView, decode: StageView, request: RequestView) -> tuple[int, int]:
        return self._answer(prefill, decode)


def least(prefill: StageView, decode: StageView) -> tuple[int, int]:
    """Fewest requests of each."""
    return (
        list(prefill.outstanding_requests).index(min(prefill.outstanding_requests)),
        list(decode.outstanding_requests).index(min(decode.outstanding_requests)),
    )


def always(answer: Any) -> Answer:
    """The same whatever there is."""
    return lambda _prefill, _decode: answer


class Two:
    """Three instances of each stage, and four requests."""

    def __init__(self, answer: Answer, reads: Reads = Reads.LOAD) -> None:
        self.prefill = Stage([InstanceInfo(f"p{i}", 1, 1000) for i in range(3)])
        self.decode = Stage([InstanceInfo(f"d{i}", 1, 1000) for i in range(3)])
        table, self.open = RequestTable(), OpenRequests(keep_prompts=False)
        self.open.add(table.add(0, [100] * 4), RequestsArrived([100] * 4, [b""] * 4, [[]] * 4, [0] * 4, 10))
        policy = Pairing(answer, reads)
        config = SchedulerConfig([], [], CacheMode.NONE)
        pair = (self.prefill, policy), (self.decode, Pairing(answer, reads))
        self.routing = Routing(*pair, RequestFacts(table, self.open), config)

    def route(self, request_id: int) -> int:
        """Which prefill instance takes it."""
        return self.routing.prefill.choose(0, request_id, 100).instance

    def reserve(self, request_id: int) -> int:
        """Which decode instance takes it."""
        return self.routing.decode.choose(0, request_id, 101).instance


@pytest.mark.parametrize("reads", [Reads.LOAD, READS_ALL])
def test_a_pair_is_kept_and_what_is_promised_counts(reads: Reads) -> None:
    two = Two(least, reads)
    # Nothing is outstanding anywhere but for what was promised: decode instances go round, prefill instances do not.
    assert [two.route(i) for i in range(4)] == [0, 0, 0, 0]
    assert [two.reserve(i) for i in range(4)] == [0, 1, 2, 0]
    assert not two.open.tentative


def test_a_promise_ends_with_its_request_or_with_another_choice() -> None:
    two = Two(least)
    for request_id in range(4):
        two.route(request_id)
    two.open.drop([0, 3])
    two.route(1)
    assert [two.reserve(1), two.reserve(2)] == [0, 2]
    assert not two.open.tentative


def test_a_promised_instance_that_is_gone_is_chosen_anew() -> None:
    two = Two(always((1, 0)))
    two.route(0)
    two.decode.take_down(["d0"])
    assert two.reserve(0) == 2
    # Indices are among those that are up.
    two.route(1)
    assert two.reserve(1) == 1
    two.decode.take_down(["d1", "d2"])
    assert two.route(2) == 2


@pytest.mark.parametrize("answer", [(0, 3), (0, -1), (5, 0), ("x", 0), None])
def test_a_pair_that_cannot_be_is_contained(answer: object) -> None:
    two = Two(always(answer))
    two.prefill.outstanding_tokens[:] = [5, 4, 9]
    assert two.route(0) == 1
    assert two.routing.prefill.failures.count == 1
    assert not two.open.tentative
    assert two.reserve(0) == 2


def test_policies_without_pairs_know_nothing_of_promises() -> None:
    stage = Stage([InstanceInfo("a", 1, 1000)])
    policy, known = make_routing_policy("least_loaded"), OpenRequests(keep_prompts=False)
    Routing((stage, policy), (stage, policy), RequestFacts(RequestTable(), known), SchedulerConfig([], []))
    assert known.tentative is None

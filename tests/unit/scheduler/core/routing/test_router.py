"""What a policy sees, and what becomes of one that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.fleet import InstanceInfo, Stage
from scheduler.core.open_requests import OpenRequests, RequestFacts
from scheduler.core.request_table import RequestTable
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import FALLBACK_REASON, Router
from scheduler.policies import make_routing_policy
from scheduler.policies.view import READS_ALL, Reads, RequestView, RoutingPolicy, StageKind, StageView
from scheduler.protocol.messages import PrefillStepped, RequestsArrived, Usage, WorkersLost

INDICES = st.sets(st.integers(0, 4))
LOADS = st.lists(st.integers(0, 5), min_size=5, max_size=5)


def stage_of(loads: list[int]) -> Stage:
    stage = Stage([InstanceInfo(f"p{i}", 1, 1000, 0, 5000, 3) for i in range(len(loads))])
    stage.outstanding_requests[:] = loads
    stage.outstanding_tokens[:] = loads
    return stage


def router_of(
    stage: Stage, policy: RoutingPolicy, view_age_ns: int = 0, prefixes: list[list[int]] | None = None
) -> Router:
    """A prefill router, with a request for each prefix, of 100 tokens in blocks of 10."""
    prefixes = prefixes or [[]]
    table, known = RequestTable(), OpenRequests(keep_prompts=True)
    num = len(prefixes)
    known.add(table.add(0, [100] * num), RequestsArrived([100] * num, [b""] * num, prefixes, [0] * num, 10))
    facts = RequestFacts(table, known)
    return Router(stage, policy, StageKind.PREFILL, facts, has_own_caches=True, view_age_ns=view_age_ns)


class Seeing:
    """Remembers what it saw, and does what a function says."""

    reason = "seeing: as told"

    def __init__(self, answer: Callable[[StageView], object] = lambda _: 0, reads: Reads = READS_ALL) -> None:
        self.reads = reads
        self.loads: list[int] = []
        self.requests: list[RequestView] = []
        self._answer = answer

    def choose(self, stage: StageView, request: RequestView) -> int:
        self.loads = list(stage.outstanding_requests)
        self.requests.append(request)
        return self._answer(stage)  # pyright: ignore[reportReturnType]


@given(down=INDICES, loads=LOADS, policy=st.sampled_from(["least_loaded", "cloudmatrix", "lmetric", "conductor"]))
def test_the_choice_is_that_of_a_stage_of_those_that_are_up(down: set[int], loads: list[int], policy: str) -> None:
    stage = stage_of(loads)
    router = router_of(stage, make_routing_policy(policy))
    stage.take_down([f"p{i}" for i in down])
    if stage.up:
        best = min(stage.up, key=lambda i: (loads[i], i))
        assert router.choose(0, 0, 100).instance == best
    stage.bring_up([f"p{i}" for i in down])
    stage.outstanding_requests[:] = stage.outstanding_tokens[:] = loads
    assert router.choose(0, 0, 100).instance == loads.index(min(loads))
    assert not router.failures.count


def raising(_stage: StageView) -> int:
    raise KeyError("two\nlines")


def answering(answer: object) -> Callable[[StageView], object]:
    return lambda _stage: answer


@pytest.mark.parametrize("reads", [Reads.LOAD, READS_ALL])
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (raising, f"{__file__}:{raising.__code__.co_firstlineno + 1}: KeyError('two\\nlines')"),
        (answering(3), "it chose instance 3 of 3"),
        (answering(-1), "it chose instance -1 of 3"),
        (answering(None), "it chose instance None, which is no index"),
        (answering(1.0), "it chose instance 1.0, which is no index"),
    ],
)
def test_a_policy_that_fails_is_contained_and_counted(
    answer: Callable[[StageView], object], told: str, reads: Reads
) -> None:
    stage = stage_of([2, 1, 3])
    router = router_of(stage, Seeing(answer, reads))
    assert [router.choose(0, 0, 100) for _ in range(3)] == [Decision(1, FALLBACK_REASON)] * 3
    assert router.failures.count == 3
    assert told in router.failures.first_error
    assert "\n" not in router.failures.first_error


def test_only_the_choice_that_failed_has_the_reason_of_the_fallback() -> None:
    answers = iter([7, 1])
    router = router_of(stage_of([0, 0]), Seeing(lambda _: next(answers)))
    assert router.choose(0, 0, 100).reason == FALLBACK_REASON
    assert router.choose(0, 0, 100) == Decision(1, "seeing: as told; times learned from 0 reports")


@pytest.mark.parametrize("reads", [Reads.LOAD, READS_ALL])
def test_a_view_is_as_old_as_it_may_be_and_never_of_who_is_gone(reads: Reads) -> None:
    stage, policy = stage_of([0, 0, 0]), Seeing(reads=reads)
    router = router_of(stage, policy, view_age_ns=10)
    seen: list[list[int]] = []
    for now_ns in (0, 9, 10, 15):
        router.choose(now_ns, 0, 100)
        seen.append(policy.loads)
        stage.outstanding_requests[1] += 1
    assert seen == [[0, 0, 0], [0, 0, 0], [0, 2, 0], [0, 2, 0]]
    stage.take_down(["p0"])
    assert router.choose(16, 0, 100).instance == 1
    assert policy.loads == [4, 0]


def test_own_caches_are_known_by_what_was_routed_until_they_are_lost() -> None:
    answers = iter([1, 0, 0, 0])
    policy = Seeing(lambda _: next(answers))
    router = router_of(stage_of([0, 0]), policy, prefixes=[[1, 2, 3], [1, 2, 4], [*range(1, 11)]])
    assert router.worker_state is not None
    router.choose(0, 0, 100)
    router.choose(0, 1, 100)
    router.worker_state.before(0, WorkersLost(["p1"]))
    router.choose(0, 0, 100)
    # Two shared blocks of ten tokens at p1; p0 then has the blocks of request 1, p1 nothing.
    assert [list(request.held_tokens) for request in policy.requests] == [[0, 0], [0, 20], [20, 0]]


def test_reports_are_columns() -> None:
    stage, policy = stage_of([0, 0]), Seeing(lambda stage: stage.running_requests.index(1))
    router = router_of(stage, policy)
    assert router.worker_state is not None
    usage = Usage(0, 500, 500, 1.0)
    router.worker_state.before(500, PrefillStepped("p1", 500, [0], [], [], [], [], 100, usage))
    assert router.choose(700, 0, 100).instance == 1
    columns = router._live
    assert columns.kv_tokens == [0, 100]
    assert columns.kv_capacity_tokens == [5000, 5000]
    assert columns.tokens_per_s == [0.0, 2e8]
    assert columns.reported_ns == [-1, 500]

"""A policy that reads what it did not declare is told so at once, however its view is made."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scheduler.policies.view import Reads, RequestView, StageView
from scheduler.protocol.errors import UndeclaredReadError
from tests.unit.scheduler.core.routing.test_router import router_of, stage_of

Reading = Callable[[StageView, RequestView], int]

READINGS: list[tuple[Reads, Reading, str]] = [
    (Reads.LOAD, lambda stage, _: stage.running_requests[0], "stage.running_requests"),
    (Reads.LOAD, lambda _, request: request.total_tokens, "request.total_tokens"),
    (Reads.REPORTS, lambda _, request: request.num_tokens, "request.num_tokens"),
    (Reads.REQUEST, lambda stage, _: stage.cached_blocks[0], "stage.cached_blocks"),
    (Reads.REQUEST, lambda _, request: max(request.held_tokens), "request.held_tokens"),
    (Reads.REQUEST, lambda _, request: len(request.work_ns), "request.work_ns"),
    (Reads.REQUEST | Reads.PREDICTIONS, lambda _, request: max(request.held_tokens), "request.held_tokens"),
    (Reads.REQUEST | Reads.OWN_CACHES, lambda _, request: request.num_samples + 1, "request.num_samples"),
]


class Curious:
    """Reads what a function reads."""

    reason = "curious: whatever it finds"

    def __init__(self, reads: Reads, reading: Reading) -> None:
        self.reads = reads
        self._reading = reading

    def choose(self, stage: StageView, request: RequestView) -> int:
        return self._reading(stage, request)


@pytest.mark.parametrize(("reads", "reading", "field"), READINGS)
@pytest.mark.parametrize(("down", "view_age_ns"), [([], 0), (["p0"], 0), ([], 10)])
def test_what_is_not_declared_is_not_contained(
    reads: Reads, reading: Reading, field: str, down: list[str], view_age_ns: int
) -> None:
    stage = stage_of([0, 0])
    router = router_of(stage, Curious(reads, reading), view_age_ns)
    stage.take_down(down)
    with pytest.raises(
        UndeclaredReadError, match=rf"policy Curious reads {field} and does not declare it; write reads"
    ):
        router.choose(0, 0, 100)
    assert not router.failures.count

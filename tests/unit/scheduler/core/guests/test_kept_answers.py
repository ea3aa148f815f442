"""Which answers are kept, where, and what moves for it."""

from __future__ import annotations

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    NO_ANSWER,
    DecodeStepped,
    Message,
    RequestsArrived,
    StartTransfer,
    StoreAnswers,
)
from tests.unit.scheduler.core.told import USAGE, Told


class Keeping(Told):
    """A core that keeps answers, with one prefill and one decode instance in the supernodes of these numbers."""

    def __init__(self, cache_mode: CacheMode, *, keeps: bool = True, decode_supernode: int = 0):
        super().__init__(cache_mode)
        info = [InstanceInfo("p0", 1, 1000)], [InstanceInfo("d0", 1, 1000, decode_supernode)]
        config = SchedulerConfig(*info, cache_mode, keeps_answers=keeps)
        self.core = Scheduler(config, make_routing_policy("round_robin"), make_routing_policy("round_robin"))

    def answered(self, produced: int, *, answer: int = 500, prompt_tokens: int = 25) -> dict[str, list[Message]]:
        """A request of three blocks of ten, to its end after so many tokens; what is said then."""
        prompt = RequestsArrived([prompt_tokens], [b"p"], [[1, 2, 3]], [4], 10, [], [answer])
        self.tell(prompt)
        if self.core.state.uses_pool:
            self.found([0], 0)
        said = self.passed("p0", started=[0], closing=[0])
        (flow,) = self.reserved("d0", [0])["fabric"]
        self.passed("p0", done=[0])
        self.moved(flow)
        self.stepped("d0", started=[0])
        boundary_ns = self.now_ns + 1
        run = DecodeStepped("d0", boundary_ns, 1, 1, 1, 1, 1, 1, 0, [], [0], [produced], [], [], [], USAGE)
        said = self.tell(run)
        assert self.reason().name == "STOP"
        return said


def test_whole_blocks_of_prompt_and_answer_go_to_the_pool() -> None:
    said = Keeping(CacheMode.POOL).answered(26)
    # KV of 25 + 26 - 1 tokens; the third block of the prompt was not whole.
    assert said["cache"] == [StoreAnswers([0], [[1, 2, 500, 501, 502]], [4], [50])]
    (flow,) = said["fabric"]
    assert isinstance(flow, StartTransfer)
    assert (flow.kind, flow.plane, flow.source, flow.destination) == (TransferKind.CACHE_WRITE, Plane.UB, "d0", "cache")
    assert flow.num_tokens == [30]


def test_with_caches_of_their_own_they_go_back_to_who_computed_the_prompt() -> None:
    said = Keeping(CacheMode.LOCAL).answered(26)
    assert [type(message) for message in said["p0"]] == [StoreAnswers]
    (flow,) = said["fabric"]
    assert isinstance(flow, StartTransfer)
    assert (flow.plane, flow.source, flow.destination) == (Plane.RDMA, "d0", "p0")


def test_an_aggregated_instance_keeps_what_it_made_and_nothing_moves() -> None:
    told = Told(CacheMode.LOCAL)
    info = [InstanceInfo("a0", 1, 1000)]
    config = SchedulerConfig(info, info, CacheMode.LOCAL, keeps_answers=True)
    told.core = Scheduler(config, make_routing_policy("round_robin"), make_routing_policy("round_robin"))
    told.tell(RequestsArrived([25], [b"p"], [[1, 2, 3]], [4], 10, [], [500]))
    told.passed("a0", started=[0], closing=[0])
    told.passed("a0", done=[0])
    told.stepped("a0", started=[0])
    boundary_ns = told.now_ns + 1
    said = told.tell(DecodeStepped("a0", boundary_ns, 1, 1, 1, 1, 1, 1, 0, [], [0], [26], [], [], [], USAGE))
    assert said["a0"] == [StoreAnswers([0], [[1, 2, 500, 501, 502]], [4], [50])]
    assert "fabric" not in said


def test_nothing_is_kept_that_fills_no_block_or_is_not_known_or_not_asked_for() -> None:
    assert not Keeping(CacheMode.POOL).answered(5)
    assert not Keeping(CacheMode.POOL).answered(26, answer=NO_ANSWER)
    assert not Keeping(CacheMode.POOL, keeps=False).answered(26)
    assert not Keeping(CacheMode.NONE).answered(26)


def test_the_pool_of_another_supernode_is_out_of_reach() -> None:
    assert not Keeping(CacheMode.POOL, decode_supernode=1).answered(26)


def test_what_was_kept_of_a_request_is_forgotten_with_it() -> None:
    told = Keeping(CacheMode.POOL)
    told.answered(26)
    assert not told.core.state.open.answers

"""Whom the core tells what of sessions, and what it has fetched for them."""

from __future__ import annotations

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    NO_SESSION,
    ArrivalsEnded,
    CachePolicyReported,
    DecodeStepped,
    FetchSessions,
    LookupPrefixes,
    Message,
    RequestsArrived,
    SessionRequests,
    SessionsClosed,
    SessionsFetched,
    SessionsGone,
    SessionsIdle,
    StartTransfer,
    TransferFailed,
)
from tests.unit.scheduler.core.told import USAGE, Told


class Telling(Told):
    """A core whose caches have a policy that reads sessions."""

    def __init__(self, cache_mode: CacheMode = CacheMode.POOL, *, has_ssd: bool = False, tells: bool = True) -> None:
        super().__init__(cache_mode)
        prefill, decode = ([InstanceInfo(f"{kind}{i}", 1, 1000) for i in range(2)] for kind in "pd")
        config = SchedulerConfig(
            prefill, decode, cache_mode, has_cache_ssd=has_ssd, has_cache_policy=True, tells_sessions=tells
        )
        self.core = Scheduler(config, make_routing_policy("round_robin"), make_routing_policy("round_robin"))

    def come(self, *sessions: int) -> dict[str, list[Message]]:
        """A request of each session."""
        num = len(sessions)
        return self.tell(
            RequestsArrived([25] * num, [b"p"] * num, [[1, 2, 3]] * num, [0] * num, 10, sessions=list(sessions))
        )

    def end(self, request_id: int, at: str = "p0") -> dict[str, list[Message]]:
        """All the way to its end; returns what is said then."""
        if self.core.state.uses_pool:
            self.found([request_id], 0)
        decode = "d" + at[1]
        self.passed(at, started=[request_id], closing=[request_id])
        (flow,) = self.reserved(decode, [request_id])["fabric"]
        self.passed(at, done=[request_id])
        self.moved(flow)
        self.stepped(decode, started=[request_id])
        run = DecodeStepped(decode, self.now_ns + 1, 1, 1, 1, 1, 1, 1, 0, [], [request_id], [2], [], [], [], USAGE)
        return self.tell(run)


def test_a_pool_hears_of_requests_of_sessions_of_idle_ones_and_of_closed_ones() -> None:
    told = Telling()
    said = told.come(7, NO_SESSION)["cache"]
    assert [type(one) for one in said] == [LookupPrefixes, SessionRequests]
    assert said[1] == SessionRequests([0], [7])
    assert told.end(0)["cache"] == [SessionsIdle([7])]
    assert "cache" not in told.end(1, "p1")
    assert told.tell(SessionsClosed([7, 8])) == {"cache": [SessionsGone([7])]}
    assert told.tell(SessionsClosed([7])) == {}


def test_a_session_is_idle_when_its_last_request_has_ended() -> None:
    told = Telling()
    told.come(7)
    told.come(7)
    assert "cache" not in told.end(0)
    assert told.end(1, "p1")["cache"] == [SessionsIdle([7])]


def test_requests_of_no_session_are_told_to_nobody() -> None:
    told = Telling()
    assert [type(one) for one in told.come(NO_SESSION)["cache"]] == [LookupPrefixes]
    (line,) = [line for line in told.core.warnings() if "session" in line]
    assert line.startswith("no request told of a session, so cache_policy had none to keep anything for")


def test_a_policy_that_reads_no_sessions_is_told_of_none() -> None:
    told = Telling(tells=False)
    assert [type(one) for one in told.come(7)["cache"]] == [LookupPrefixes]
    assert told.end(0).keys() == set()


def test_after_the_last_request_of_all_no_session_comes_back() -> None:
    told = Telling()
    told.come(7)
    told.end(0)
    told.come(8)
    told.tell(ArrivalsEnded())
    assert told.end(1, "p1")["cache"] == [SessionsGone([7, 8])]


def test_sessions_that_wait_when_arrivals_end_are_gone() -> None:
    told = Telling()
    told.come(7)
    told.end(0)
    assert told.tell(ArrivalsEnded()) == {"cache": [SessionsGone([7])]}


def test_an_own_cache_hears_of_a_session_when_its_prompt_begins_and_one_that_is_left_that_it_is() -> None:
    told = Telling(CacheMode.LOCAL)
    assert told.come(7).keys() == {"p0"}
    said = told.passed("p0", started=[0], closing=[0])
    assert said["p0"] == [SessionRequests([0], [7])]
    told = Telling(CacheMode.LOCAL)
    told.come(7)
    assert told.end(0)["p0"] == [SessionsIdle([7])]
    told.come(7)
    said = told.passed("p1", started=[1], closing=[1])
    assert (said["p0"], said["p1"]) == ([SessionsGone([7])], [SessionRequests([1], [7])])
    assert told.tell(SessionsClosed([7])) == {"p1": [SessionsGone([7])]}


def test_what_a_pool_wants_from_ssd_is_carried_over_vpc_and_it_hears_of_the_end() -> None:
    told = Telling(has_ssd=True)
    told.come(7, 8)
    first, second = told.tell(FetchSessions("cache", [7, 8], [512, 1024]))["fabric"]
    assert isinstance(first, StartTransfer)
    assert isinstance(second, StartTransfer)
    assert (first.kind, first.plane) == (TransferKind.CACHE_SSD_READ, Plane.VPC)
    assert (first.source, first.destination, first.num_tokens) == ("cache/ssd", "cache", [512])
    assert told.moved(second, TransferKind.CACHE_SSD_READ) == {"cache": [SessionsFetched([8], arrived=True)]}
    failed = TransferFailed(first.transfer_id, TransferKind.CACHE_SSD_READ, Plane.VPC)
    assert told.tell(failed)["cache"] == [SessionsFetched([7], arrived=False)]


def test_a_lost_fabric_brings_nothing_more() -> None:
    told = Telling(has_ssd=True)
    told.come(7)
    told.tell(FetchSessions("cache", [7], [512]))
    assert told.lose("fabric")["cache"] == [SessionsFetched([7], arrived=False)]


def test_failures_of_all_caches_are_counted_together() -> None:
    told = Telling(tells=False)
    assert told.core.policy_failures["cache"].count == 0
    told.tell(CachePolicyReported("p0", 0, 0, 0, 0, 3, "own.py:3: no"))
    told.tell(CachePolicyReported("p1", 0, 0, 0, 0, 2, "own.py:3: no"))
    told.tell(CachePolicyReported("p1", 0, 0, 0, 0, 4, "own.py:3: no"))
    assert told.core.policy_failures["cache"].count == 7
    (line,) = told.core.warnings()
    assert line == ("the cache policy failed 7 times, first: own.py:3: no; the least recently used blocks went first")

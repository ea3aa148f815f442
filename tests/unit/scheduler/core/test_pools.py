"""Several pools: every one is asked, the chosen instance's counts, and the others hold nothing for long."""

from __future__ import annotations

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import (
    CacheServersChanged,
    CancelTransfer,
    LookupPrefixes,
    Message,
    PrefillStepped,
    PrefixesFound,
    PrefixesLost,
    ReleasePrefixes,
    RequestsArrived,
    StartPrefill,
    StartTransfer,
    StorePrefixes,
    TransferDone,
    Usage,
    WorkersJoined,
    WorkersLost,
)

POOLS = ("cache-0", "cache-1")
Said = list[tuple[str, Message]]


class Fleet:
    """A core over prefill instances p0 in supernode 0 and p1 in 1, in turn."""

    def __init__(self) -> None:
        prefill = [InstanceInfo(f"p{i}", 1, 1000, i) for i in range(2)]
        decode = [InstanceInfo("d0", 1, 1000)]
        config = SchedulerConfig(prefill, decode, CacheMode.POOL, pools=POOLS, num_cache_servers=(2, 2))
        self.core = Scheduler(config, make_routing_policy("round_robin"), make_routing_policy("round_robin"))
        self.now_ns = 0

    def tell(self, message: Message) -> Said:
        """A nanosecond after the last."""
        self.now_ns += 1
        return list(self.core.handle(self.now_ns, message))

    def arrive(self) -> Said:
        """One request of 100 tokens in ten blocks."""
        return self.tell(RequestsArrived([100], [b"p"], [list(range(10))], [0], 10))

    def found(self, pool: int, tokens: int, request_id: int = 0, on_ssd: int = 0) -> Said:
        """A pool answers."""
        return self.tell(PrefixesFound(POOLS[pool], [request_id], [tokens], [on_ssd]))


def addresses(said: Said, kind: type) -> list[str]:
    return [address for address, message in said if isinstance(message, kind)]


def test_a_request_is_routed_when_all_pools_have_answered_and_reads_its_own() -> None:
    fleet = Fleet()
    assert addresses(fleet.arrive(), LookupPrefixes) == list(POOLS)
    assert not fleet.found(1, 90)
    said = fleet.found(0, 30)
    # In turn, the first goes to p0: 30 tokens come from its pool, and the other, with more, is released.
    assert addresses(said, ReleasePrefixes) == ["cache-1"]
    (flow,) = [message for _, message in said if isinstance(message, StartTransfer)]
    assert (flow.source, flow.destination, flow.num_tokens) == ("cache-0", "p0", [30])
    done = TransferDone(flow.transfer_id, TransferKind.CACHE_READ, Plane.UB, fleet.now_ns, 1, 1, 0)
    ((where, start),) = fleet.tell(done)
    assert where == "p0"
    assert isinstance(start, StartPrefill)
    assert start.cached_tokens == [30]
    assert fleet.core.table.cached_tokens[0] == 30


def test_what_is_made_is_stored_where_it_was_made() -> None:
    fleet = Fleet()
    fleet.arrive()
    fleet.found(0, 0)
    fleet.found(1, 0)
    usage = Usage(0, 0, 0, 0.0)
    fleet.tell(PrefillStepped("p0", fleet.now_ns, [0], [], [0], [], [], 0, usage))
    said = fleet.tell(PrefillStepped("p0", fleet.now_ns, [], [], [], [0], [], 100, usage))
    assert addresses(said, StorePrefixes) == ["cache-0"]
    (flow,) = [message for _, message in said if isinstance(message, StartTransfer)]
    assert (flow.kind, flow.source, flow.destination) == (TransferKind.CACHE_WRITE, "p0", "cache-0")


def test_a_lost_pool_is_waited_for_by_nobody_and_told_nothing() -> None:
    fleet = Fleet()
    fleet.arrive()
    fleet.found(1, 50)
    # The request goes to p0, whose pool is gone: nothing is cached for it, and nothing will be stored.
    said = fleet.tell(WorkersLost(["cache-0"]))
    assert addresses(said, StartPrefill) == ["p0"]
    assert addresses(said, ReleasePrefixes) == ["cache-1"]
    assert fleet.core.table.cached_tokens[0] == 0
    usage = Usage(0, 0, 0, 0.0)
    fleet.tell(PrefillStepped("p0", fleet.now_ns, [0], [], [0], [], [], 0, usage))
    assert not addresses(fleet.tell(PrefillStepped("p0", fleet.now_ns, [], [], [], [0], [], 100, usage)), StorePrefixes)
    assert addresses(fleet.arrive(), LookupPrefixes) == ["cache-1"]
    fleet.tell(WorkersJoined(["cache-0"]))
    assert addresses(fleet.arrive(), LookupPrefixes) == list(POOLS)
    # Of the request that was asked of one pool only, the other knows nothing.
    said = fleet.found(1, 10, request_id=1)
    assert addresses(said, StartTransfer) == ["fabric"]
    assert not addresses(said, ReleasePrefixes)


def reads(said: Said) -> list[tuple[str, str, list[int]]]:
    flows = [message for _, message in said if isinstance(message, StartTransfer)]
    return [(flow.source, flow.destination, flow.num_tokens) for flow in flows]


def test_what_is_on_ssd_comes_from_that_of_the_pool_that_serves() -> None:
    fleet = Fleet()
    fleet.arrive()
    fleet.found(1, 90, on_ssd=40)
    assert reads(fleet.found(0, 30, on_ssd=20)) == [("cache-0", "p0", [30]), ("cache-0/ssd", "cache-0", [20])]
    fleet.arrive()
    fleet.found(0, 30, 1, on_ssd=20)
    assert reads(fleet.found(1, 90, 1)) == [("cache-1", "p1", [90])]


def test_servers_of_one_pool_are_not_those_of_another_nor_a_pool() -> None:
    fleet = Fleet()
    assert addresses(fleet.tell(WorkersLost(["cache-1/0"])), CacheServersChanged) == ["cache-1"]
    assert addresses(fleet.arrive(), LookupPrefixes) == list(POOLS)


def test_what_a_pool_lost_before_all_have_answered_does_not_count() -> None:
    fleet = Fleet()
    fleet.arrive()
    fleet.found(0, 90)
    assert not fleet.tell(PrefixesLost("cache-0", [0], [20]))
    assert reads(fleet.found(1, 50)) == [("cache-0", "p0", [20])]


def test_who_was_fetching_what_is_lost_takes_what_its_pool_has_left_or_computes_elsewhere() -> None:
    fleet = Fleet()
    for _ in range(2):
        fleet.arrive()
    fleet.found(0, 90)
    fleet.found(1, 90)
    fleet.found(0, 90, 1)
    fleet.found(1, 90, 1)
    # Nobody is at p0's pool for the second request, which reads from p1's.
    assert not fleet.tell(PrefixesLost("cache-0", [1], [10]))
    said = fleet.tell(PrefixesLost("cache-0", [0], [10]))
    # In turn it goes to p0 again.
    assert reads(said) == [("cache-0", "p0", [10])]
    assert addresses(said, CancelTransfer) == ["fabric"]
    said = fleet.tell(PrefixesLost("cache-1", [1], [10]))
    assert reads(said) == [("cache-1", "p1", [10])]
    # Where its pool knows nothing of it, it computes all, and the pool that knew need not wait.
    said = fleet.tell(PrefixesLost("cache-1", [1], [5]))
    assert addresses(said, StartPrefill) == ["p0"]
    assert addresses(said, ReleasePrefixes) == ["cache-1"]
    assert fleet.core.table.cached_tokens[1] == 0

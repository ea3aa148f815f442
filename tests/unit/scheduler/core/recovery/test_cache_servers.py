"""What the core says and does when servers of the cache pool come and go."""

from __future__ import annotations

from scheduler.core.config import CacheMode
from scheduler.core.lifecycle import State
from scheduler.core.recovery.cache_servers import CacheServers
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.messages import (
    CacheServersChanged,
    CancelTransfer,
    Message,
    PoolServersChanged,
    PrefixesFound,
    PrefixesLost,
    StartTransfer,
)
from tests.unit.scheduler.core.told import Told, starts


def said(changed: CacheServersChanged) -> list[tuple[str, Message]]:
    """The pool hears of the servers, and the fabric of their lines."""
    return [("cache", changed), ("fabric", PoolServersChanged("cache", changed.up))]


def test_each_change_is_said_once() -> None:
    servers = CacheServers(["cache"], [3])
    assert servers.lose(["cache/1", "d0"]) == said(CacheServersChanged([0, 2], [1]))
    assert servers.lose(["cache/1"]) == []
    assert servers.drain(["cache/0"]) == said(CacheServersChanged([2], []))
    assert servers.join(["cache/0", "cache/1"]) == said(CacheServersChanged([0, 1, 2], []))
    assert servers.join(["cache"]) == []
    assert servers.join(["fabric"]) == []


def test_a_new_pool_is_told_who_is_missing() -> None:
    servers = CacheServers(["cache"], [3])
    servers.drain(["cache/2"])
    assert servers.join(["cache"]) == [("cache", CacheServersChanged([0, 1], []))]
    assert servers.join(["fabric"]) == [("fabric", PoolServersChanged("cache", [0, 1]))]


def test_who_was_fetching_what_is_lost_computes_and_the_others_go_on() -> None:
    told = Told(CacheMode.POOL)
    told.arrive(4, prefix=[1, 2])
    flows = told.found([0, 1, 2, 3], 20)["fabric"]
    # Round robin: 0 and 2 fetch together to p0.
    said = told.tell(PrefixesLost("cache", [0], [0]))
    assert starts(said) == {"p0": [0]}
    assert told.state(0) == State.PREFILL_QUEUED
    assert told.core.table.retries[0] == 0
    assert starts(told.moved(flows[0])) == {"p0": [2]}
    assert told.core.table.cached_tokens[0] == 0
    assert told.loads()[:2] == ([2, 2], [180, 160])
    assert told.tell(PrefixesLost("cache", [2], [0])) == {}


def test_what_is_left_is_fetched() -> None:
    told = Told(CacheMode.POOL)
    told.arrive(prefix=[1, 2])
    (flow,) = told.found([0], 20)["fabric"]
    assert isinstance(flow, StartTransfer)
    given_up, again = told.tell(PrefixesLost("cache", [0], [10]))["fabric"]
    assert given_up == CancelTransfer(flow.transfer_id)
    assert isinstance(again, StartTransfer)
    assert again.num_tokens == [10]
    assert told.moved(flow) == {}
    assert starts(told.moved(again)) == {"p1": [0]}


def test_what_is_on_ssd_is_a_flow_of_its_own_and_both_are_waited_for() -> None:
    told = Told(CacheMode.POOL)
    told.arrive(2, prefix=[1, 2])
    flows = told.tell(PrefixesFound("cache", [0, 1], [20, 20], [0, 10]))["fabric"]
    planes = [(flow.plane, flow.num_tokens) for flow in flows if isinstance(flow, StartTransfer)]
    assert planes == [(Plane.UB, [20]), (Plane.UB, [20]), (Plane.VPC, [10])]
    assert starts(told.moved(flows[0])) == {"p0": [0]}
    assert told.moved(flows[2]) == {}
    assert starts(told.moved(flows[1])) == {"p1": [1]}

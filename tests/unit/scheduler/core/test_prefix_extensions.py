"""Prompts that wait are looked up once more, and what the pool has found since is fetched."""

from __future__ import annotations

from scheduler.core.config import CacheMode
from scheduler.core.lifecycle import State
from scheduler.protocol.fabric_messages import TransferKind
from scheduler.protocol.messages import (
    CancelTransfer,
    ExtendCached,
    ExtendLookups,
    Message,
    PrefillStepped,
    PrefixesGrown,
    PrefixesLost,
    StartTransfer,
    TransferOverdue,
    Usage,
)
from tests.unit.scheduler.core.told import USAGE, Told

READ = TransferKind.CACHE_READ


def waiting(cached_tokens: int = 0) -> Told:
    """A request that waits at p0, sent with so much of it cached."""
    told = Told(CacheMode.POOL)
    told.arrive(prefix=range(10))
    said = told.found([0], cached_tokens)
    if cached_tokens:
        (flow,) = said["fabric"]
        told.moved(flow, READ)
    assert told.state() == State.PREFILL_QUEUED
    return told


def named(told: Told) -> dict[str, list[Message]]:
    """Its instance says that it is next."""
    return told.tell(PrefillStepped("p0", told.now_ns + 1, [], [], [], [], [], 0, USAGE, [0]))


def grown(told: Told, cached_tokens: int, ssd_tokens: int = 0) -> dict[str, list[Message]]:
    """The pool has more of it."""
    return told.tell(PrefixesGrown("cache", [0], [cached_tokens], [ssd_tokens]))


def only_flow(said: dict[str, list[Message]]) -> StartTransfer:
    """What the fabric is told."""
    (flow,) = said["fabric"]
    assert isinstance(flow, StartTransfer)
    return flow


def test_who_is_named_as_next_is_looked_up_again_and_what_is_new_is_fetched() -> None:
    told = waiting(20)
    assert named(told) == {"cache": [ExtendLookups([0])]}
    flow = only_flow(grown(told, 70))
    assert flow.num_tokens == [50]
    assert told.moved(flow, READ) == {"p0": [ExtendCached([0], [70])]}
    # Until it begins it counts as it was sent.
    assert told.loads()[1] == [80, 0]
    told.tell(PrefillStepped("p0", told.now_ns + 1, [0], [70], [0], [], [], 0, USAGE))
    assert told.loads()[1] == [30, 0]
    assert told.core.table.cached_tokens[0] == 70


def test_a_full_hit_leaves_one_token_to_compute() -> None:
    told = waiting()
    named(told)
    assert only_flow(grown(told, 100)).num_tokens == [99]


def test_nobody_is_asked_about_prompts_of_which_nothing_is_known() -> None:
    told = Told(CacheMode.POOL)
    told.arrive()
    assert "cache" not in named(told)


def test_what_is_found_while_the_first_part_is_fetched_follows_it() -> None:
    told = Told(CacheMode.POOL)
    told.arrive(prefix=range(10))
    first = only_flow(told.found([0], 20))
    assert not grown(told, 70, 50)
    said = told.moved(first, READ)
    assert [type(message).__name__ for message in said["p0"]] == ["StartPrefill"]
    more, from_ssd = said["fabric"]
    assert isinstance(more, StartTransfer)
    assert isinstance(from_ssd, StartTransfer)
    assert (more.num_tokens, from_ssd.num_tokens) == ([50], [50])
    told.moved(more, READ)
    assert told.moved(from_ssd, READ) == {"p0": [ExtendCached([0], [70])]}


def test_it_is_not_fetched_for_one_that_has_begun() -> None:
    told = waiting()
    named(told)
    told.passed("p0", started=[0])
    assert not grown(told, 70)


def test_an_extension_that_takes_too_long_leaves_the_request_as_it_was() -> None:
    told = waiting()
    told.tell(PrefillStepped("p1", 1, [], [], [], [], [], 50, Usage(0, 1, 50_000, 0.0)))
    named(told)
    flow = only_flow(grown(told, 70))
    assert flow.give_up_ns == told.now_ns + 70 * 1_000
    assert not told.tell(TransferOverdue(flow.transfer_id))
    assert told.state() == State.PREFILL_QUEUED
    assert told.loads()[1] == [100, 0]
    # It was too slow, so the instance's next read finds out whether reads are in time again; one at a time.
    probe = only_flow(grown(told, 70))
    assert not grown(told, 80)
    assert told.moved(probe, READ) == {"p0": [ExtendCached([0], [70])]}


def test_what_the_pool_loses_on_the_way_does_not_arrive() -> None:
    told = waiting()
    named(told)
    flow = only_flow(grown(told, 70))
    assert told.tell(PrefixesLost("cache", [0], [20])) == {"fabric": [CancelTransfer(flow.transfer_id)]}
    assert not told.moved(flow, READ)
    assert told.state() == State.PREFILL_QUEUED


def test_what_was_noted_for_a_fetch_that_was_lost_is_forgotten() -> None:
    told = Told(CacheMode.POOL)
    told.arrive(prefix=range(10))
    told.found([0], 20)
    grown(told, 70)
    told.lose("p0")
    assert told.state() == State.ARRIVED
    again = only_flow(told.found([0], 20))
    assert "fabric" not in told.moved(again, READ)
    assert not told.core.state.open.grown

"""What sessions keep of a store, what goes first when their time is out, and what comes back from SSD: right values."""

from __future__ import annotations

import pytest

from scheduler.policies.caching.pin import Pin
from scheduler.policies.caching.prefetch import Prefetch
from scheduler.policies.caching.ttl import TimeToLive
from scheduler.protocol.cache_policy import NEVER_FETCHED, CachedSession, CachePolicy, CacheUse
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import (
    CachePolicyReported,
    CacheReported,
    FetchSessions,
    LookupPrefixes,
    Message,
    RunEnded,
    SessionRequests,
    SessionsFetched,
    SessionsGone,
    SessionsIdle,
    StoreAnswers,
    StorePrefixes,
)
from workers.cache.session_pool import SessionPool
from workers.cache.session_store import SessionStore
from workers.cache.sizes import StoreSizes

S = 1_000_000_000
BLOCK = 128


class Pool:
    """A pool of so many blocks, of one server, that is told of turns of sessions. Block 7 of session 1 is 107."""

    def __init__(self, policy: CachePolicy, blocks: int = 4, ssd_blocks: int = 0, *, block_tokens: int = BLOCK) -> None:
        sizes = StoreSizes(1, blocks * block_tokens, block_tokens, ssd_blocks * block_tokens)
        self.pool = SessionPool(sizes, policy)
        self.store = self.pool.store
        self.num_requests = 0

    def tell(self, now_s: float, message: Message) -> list[Message]:
        """Returns what the pool says to the core."""
        return [said for _, said in self.pool.handle(round(now_s * S), message)]

    def turn(self, now_s: float, session: int, blocks: list[int], *, ends_s: float | None = None) -> int:
        """A request, from its look-up to its end; returns blocks found. A session below 0 is none."""
        request_id = self.num_requests
        self.num_requests += 1
        if session >= 0:
            self.tell(now_s, SessionRequests([request_id], [session]))
        self.tell(now_s, LookupPrefixes([request_id], [BLOCK * len(blocks)], [blocks], [0]))
        num_found = self.store._open[request_id][3]
        self.tell(now_s, StorePrefixes([request_id]))
        if session >= 0:
            self.tell(now_s if ends_s is None else ends_s, SessionsIdle([session]))
        return num_found

    def here(self) -> set[int]:
        """Blocks in DRAM."""
        assert isinstance(self.store, SessionStore)
        return self.store.tiers.dram.blocks()

    def did(self, now_s: float) -> CachePolicyReported:
        """The account of the policy."""
        (report,) = (one for one in self.tell(now_s, RunEnded(False)) if isinstance(one, CachePolicyReported))
        return report


def test_with_least_recently_used_a_session_that_waits_loses_to_others() -> None:
    pool = Pool(CachePolicy())
    pool.turn(0, 1, [101, 102, 103])
    pool.turn(1, -1, [1, 2, 3])
    assert pool.here() == {101, 1, 2, 3}
    assert pool.turn(2, 1, [101, 102, 103]) == 1


def test_blocks_of_a_session_stay_for_its_time_to_live_and_go_first_then() -> None:
    pool = Pool(TimeToLive(10))
    pool.turn(0, 1, [101, 102, 103])
    # Of those that come only one block finds room: the deepest ones of each go.
    pool.turn(9.9, -1, [1, 2, 3])
    assert pool.here() == {101, 102, 103, 1}
    # Then they go, although the other block was not used for longer.
    pool.turn(9.9, -1, [1])
    pool.turn(10, -1, [21, 22])
    assert pool.here() == {101, 1, 21, 22}
    assert pool.did(10) == CachePolicyReported("cache", 3, 3, 0, 0, 0, "")


def test_each_use_begins_a_time_to_live_anew() -> None:
    pool = Pool(TimeToLive(10))
    pool.turn(0, 1, [101], ends_s=5)
    pool.turn(14, -1, [1, 2, 3, 4])
    assert 101 in pool.here()
    assert pool.turn(14.5, 1, [101]) == 1
    pool.turn(24.4, -1, [1, 2, 3, 4])
    assert 101 in pool.here()
    pool.turn(24.5, -1, [11, 12, 13, 14])
    assert 101 not in pool.here()


def test_what_another_session_has_used_too_does_not_go_first() -> None:
    pool = Pool(TimeToLive(10), blocks=5)
    pool.turn(0, 1, [100, 101])
    pool.turn(1, 2, [100, 102])
    pool.tell(2, SessionsGone([1]))
    pool.tell(2, SessionsGone([2]))
    # 101 and 102 are sunk, the beginning that they share is as old as its last use.
    pool.turn(3, -1, [1, 2, 3])
    assert pool.here() == {100, 102, 1, 2, 3}
    pool.turn(4, -1, [4])
    assert pool.here() == {100, 1, 2, 3, 4}


def test_kv_is_pinned_while_its_session_is_idle_only() -> None:
    pool = Pool(Pin(limit_s=60))
    pool.turn(0, 1, [101, 102], ends_s=5)
    pool.turn(50, -1, [1, 2, 3])
    assert pool.here() == {101, 102, 1, 2}
    # It is back, finds all, and while its request runs it is as others are.
    pool.tell(55, SessionRequests([99], [1]))
    pool.tell(55, LookupPrefixes([99], [2 * BLOCK], [[101, 102]], [0]))
    pool.tell(56, StorePrefixes([99]))
    pool.turn(57, -1, [5, 6, 7, 8])
    assert pool.here() == {5, 6, 7, 8}
    assert pool.did(57) == CachePolicyReported("cache", 2, 0, 0, 0, 0, "")


@pytest.mark.parametrize(("now_s", "is_there"), [(64.9, True), (65, False)])
def test_a_pin_ends_with_its_limit(now_s: float, is_there: bool) -> None:
    pool = Pool(Pin(limit_s=60))
    pool.turn(0, 1, [101, 102], ends_s=5)
    pool.turn(now_s, -1, [1, 2, 3, 4])
    assert (101 in pool.here()) == is_there
    assert pool.did(now_s).expired_blocks == (0 if is_there else 2)


def test_a_pin_ends_when_the_session_is_closed() -> None:
    pool = Pool(Pin())
    pool.turn(0, 1, [101, 102])
    pool.tell(1, SessionsGone([1]))
    pool.turn(2, -1, [1, 2, 3, 4])
    assert pool.here() == {1, 2, 3, 4}


@pytest.mark.parametrize("policy", [TimeToLive(60, share=0.5), Pin(60, share=0.5)])
def test_no_more_than_a_share_is_kept(policy: CachePolicy) -> None:
    pool = Pool(policy)
    pool.turn(0, 1, [101, 102])
    pool.turn(1, 2, [201])
    pool.turn(2, -1, [1, 2, 3, 4])
    assert pool.here() == {101, 102, 1, 2}
    assert isinstance(pool.store, SessionStore)
    assert pool.store.kept_tokens == 2 * BLOCK


def test_a_block_that_two_sessions_keep_counts_once_and_stays_for_the_other() -> None:
    pool = Pool(Pin(60, share=0.5))
    pool.turn(0, 1, [100, 101])
    pool.turn(1, 2, [100])
    assert isinstance(pool.store, SessionStore)
    assert pool.store.kept_tokens == 2 * BLOCK
    # What it shares is counted as if it were its own when it is asked whether it fits.
    pool.tell(2, SessionsGone([1]))
    assert pool.store.kept_tokens == 0
    pool.turn(3, 2, [100])
    pool.turn(4, -1, [1, 2, 3, 4])
    assert 100 in pool.here()


def test_answers_of_a_session_are_kept_with_its_prompt() -> None:
    pool = Pool(Pin())
    pool.tell(0, SessionRequests([0], [1]))
    pool.tell(0, LookupPrefixes([0], [BLOCK], [[101]], [0]))
    pool.tell(1, StorePrefixes([0]))
    pool.tell(2, StoreAnswers([0], [[101, 102]], [0], [2 * BLOCK]))
    pool.tell(2, SessionsIdle([1]))
    pool.turn(3, -1, [1, 2, 3, 4])
    assert pool.here() == {101, 102, 1, 2}


def test_requests_that_run_side_by_side_are_one_turn() -> None:
    pool = Pool(Pin())
    for request_id, blocks in ((0, [100, 101]), (1, [100, 102])):
        pool.tell(0, SessionRequests([request_id], [1]))
        pool.tell(0, LookupPrefixes([request_id], [2 * BLOCK], [blocks], [0]))
    pool.tell(1, StorePrefixes([0]))
    pool.tell(2, StorePrefixes([1]))
    pool.tell(3, SessionsIdle([1]))
    pool.turn(4, -1, [1, 2, 3, 4])
    assert pool.here() == {100, 101, 102, 1}


def prefetching(pool: Pool) -> None:
    """Session 1 has blocks on SSD that DRAM has no more."""
    pool.turn(0, 1, [101, 102])
    pool.turn(1, -1, [1, 2, 3, 4])
    assert pool.here() == {1, 2, 3, 4}


def test_blocks_are_fetched_before_the_session_is_expected_back_and_are_in_dram_when_they_have_come() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), ssd_blocks=16)
    prefetching(pool)
    assert pool.pool.deadline_ns == 8 * S
    assert pool.pool.wake(8 * S) == [("core", FetchSessions("cache", [1], [2 * BLOCK]))]
    assert pool.pool.deadline_ns == NEVER_NS
    assert pool.here() == {1, 2, 3, 4}
    pool.tell(9, SessionsFetched([1], True))
    assert pool.here() == {101, 102, 1, 2}
    assert pool.turn(10, 1, [101, 102, 103]) == 2
    assert pool.store.account.ssd_found_tokens == 0
    assert pool.did(11) == CachePolicyReported("cache", 0, 0, 2 * BLOCK, 2 * BLOCK, 0, "")


def test_who_is_back_before_it_has_come_reads_from_ssd_as_ever() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), ssd_blocks=16)
    prefetching(pool)
    pool.pool.wake(8 * S)
    assert pool.turn(8.5, 1, [101, 102]) == 2
    assert pool.store.account.ssd_found_tokens == 2 * BLOCK
    pool.tell(9, SessionsFetched([1], True))
    assert pool.did(9) == CachePolicyReported("cache", 0, 0, 2 * BLOCK, 0, 0, "")


def test_who_is_back_before_its_time_is_not_fetched() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), ssd_blocks=16)
    prefetching(pool)
    pool.tell(5, SessionRequests([50], [1]))
    assert pool.pool.deadline_ns == NEVER_NS


def test_what_did_not_come_is_where_it_was() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), ssd_blocks=16)
    prefetching(pool)
    pool.pool.wake(8 * S)
    pool.tell(9, SessionsFetched([1], False))
    assert pool.here() == {1, 2, 3, 4}
    assert pool.did(9).prefetched_tokens == 0
    assert isinstance(pool.store, SessionStore)
    assert not pool.store.tiers.pins


def test_the_gaps_of_a_session_are_its_own() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), ssd_blocks=16)
    for now_s in (0, 4, 12):  # gaps of 4 s and 8 s
        pool.turn(now_s, 1, [101])
    assert pool.pool.deadline_ns == (12 + 6 - 2) * S
    pool.turn(13, 2, [201])
    assert pool.pool.deadline_ns == 16 * S
    pool.tell(14, SessionsGone([1]))
    assert pool.pool.deadline_ns == (13 + 10 - 2) * S


def test_nothing_is_fetched_that_dram_has() -> None:
    pool = Pool(Prefetch(gap_s=10, lead_s=2), blocks=16, ssd_blocks=16)
    pool.turn(0, 1, [101, 102])
    assert not pool.pool.wake(8 * S)


def test_a_partial_block_takes_what_is_allocated_for_it() -> None:
    pool = Pool(Pin(60, share=1.0), blocks=2, block_tokens=512)
    pool.tell(0, SessionRequests([0], [1]))
    pool.tell(0, LookupPrefixes([0], [600], [[101, 102]], [0]))
    pool.tell(0, StorePrefixes([0]))
    pool.tell(1, SessionsIdle([1]))
    assert isinstance(pool.store, SessionStore)
    assert pool.store.kept_tokens == 512 + 128


class Ranked(CachePolicy):
    """Tenant 0 goes first."""

    def rank(self, use: CacheUse) -> float:
        """By tenant."""
        return float(use.tenant)


def test_the_lowest_rank_goes_first_whatever_was_used_last() -> None:
    store = SessionStore(StoreSizes(1, 3 * BLOCK, BLOCK), Ranked())
    for number, (tenant, blocks) in enumerate([(1, [1, 2]), (0, [3]), (0, [4]), (1, [5])]):
        store.look_up(number, blocks, tenant, BLOCK * len(blocks), number)
        store.store(number, number)
    assert sorted(key & 0xFF for key in store.tiers.dram.blocks()) == [1, 2, 5]


def test_both_reports_come_at_the_end_and_only_with_a_policy() -> None:
    said = Pool(Pin()).tell(1, RunEnded(False))
    assert [type(one) for one in said] == [CacheReported, CachePolicyReported]


def test_a_session_of_which_a_pool_has_never_heard_is_passed_over() -> None:
    pool = Pool(Pin())
    for message in (SessionsIdle([5]), SessionsGone([5]), SessionsFetched([5], True)):
        assert not pool.tell(1, message)


def test_a_view_says_what_fits() -> None:
    view = CachedSession(0, 1, True, 1, 0, 0, 30, 20, 100)
    assert view.fits(0.5)
    assert not view.fits(0.49)
    assert CachePolicy().fetch_ns(view) == NEVER_FETCHED

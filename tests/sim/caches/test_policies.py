"""Laws of cache policies, over long random series of uses by sessions, while servers join and leave."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scheduler.policies.caching.pin import Pin
from scheduler.policies.caching.prefetch import Prefetch
from scheduler.policies.caching.ttl import TimeToLive
from scheduler.protocol.cache_policy import CachedSession, CachePolicy, CacheUse
from scheduler.protocol.messages import SessionRequests, SessionsFetched, SessionsGone, SessionsIdle
from tests.naive.case import Row
from tests.naive.request import Request
from tests.naive.sessions import NaiveSessions
from tests.naive.strategies import QUICK_PHASES
from tests.sim.cache_parts import blocks_in
from tests.sim.caches.test_against_lists import CHAINS, CHANGES, SIZES, STEPS, USES, num_tokens_of, spell
from workers.cache.clairvoyant import clairvoyant_hits
from workers.cache.curve import HitTokens, Prompt, store_hits
from workers.cache.session_store import SessionStore
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.cache.tier import TENANT_SHIFT

NS_PER_S = 10**9
NO_SESSION = -1
OF_SESSIONS = st.tuples(USES, st.sampled_from([NO_SESSION, 0, 1, 2]))
WHAT_SESSIONS_DO = st.tuples(st.sampled_from(["idle", "idle", "gone", "pass"]), st.integers(0, 2))
SESSION_STEPS = st.lists(st.one_of(OF_SESSIONS, OF_SESSIONS, OF_SESSIONS, WHAT_SESSIONS_DO), min_size=30, max_size=60)
STEPS_AND_CHANGES = st.lists(
    st.one_of(OF_SESSIONS, OF_SESSIONS, OF_SESSIONS, WHAT_SESSIONS_DO, CHANGES), min_size=30, max_size=60
)


class Frequent(CachePolicy):
    """An order that is not that of time: long chains, and those of odd tenants, go first."""

    reads_sessions = True

    def rank(self, use: CacheUse) -> float:
        """By what the use tells."""
        return float(use.cached_tokens - use.num_tokens - 1000 * use.tenant)

    def keep_ns(self, session: CachedSession) -> int:
        """Now and then."""
        return 5 if session.num_requests % 2 and session.fits(0.5) else 0


@settings(max_examples=100, phases=QUICK_PHASES)
@given(sizes=SIZES, steps=STEPS)
def test_least_recently_used_through_the_protocol_is_that_of_today(sizes: StoreSizes, steps: list[Any]) -> None:
    plain, asked = BlockStore(sizes), SessionStore(sizes, CachePolicy())
    opened: set[int] = set()
    for now_ns, step in enumerate(steps):
        if len(step) == 2:
            up, lost = step
            assert plain.set_up(up, lost, now_ns) == asked.set_up(up, lost, now_ns)
        else:
            who, chain, tenant, use = step
            prefix = list(spell(chain))
            for store in (plain, asked):
                if who not in opened:
                    store.look_up(who, prefix, tenant, num_tokens_of(tuple(prefix)), now_ns)
                elif use == "extend":
                    store.extend(who, now_ns)
                elif use == "store":
                    store.store(who, now_ns)
                else:
                    store.release(who, now_ns)
            opened ^= {who} if use != "extend" or who not in opened else set()
        assert blocks_in(plain) == blocks_in(asked)
        # Stamps of runs and of single blocks run ahead of time by different amounts when much is used at one instant.
        ages = {"evicted_age_ns": 0} if sizes.is_one_list else {}
        assert replace(plain.account, **ages) == replace(asked.account, **ages)


class Driven:
    """A session store under steps, of which each may be of a session."""

    def __init__(self, sizes: StoreSizes, policy: CachePolicy) -> None:
        self.real = SessionStore(sizes, policy)
        self.now_ns = 0
        self.requests: dict[int, Request] = {}
        self.ids: dict[int, int] = {}
        self.sessions: dict[int, int] = {}
        """Of open look-ups, by who; ids of requests are never used again."""
        self.known: set[int] = set()

    def take(self, step: Any) -> Any:
        """Do it; returns what was answered."""
        self.now_ns += 1
        first, second = step
        if isinstance(first, str):
            return self._of_session(first, second)
        if isinstance(first, tuple):
            return self._use(first, second)
        return self.change(first, second)

    def _of_session(self, what: str, session: int) -> None:
        if what == "pass":
            self.now_ns += 4
        elif session in self.known and session not in self.sessions.values():
            self.become(what, session)

    def become(self, what: str, session: int) -> None:
        """It is idle, or gone."""
        kind = SessionsIdle if what == "idle" else SessionsGone
        self.real.handlers[kind](self.now_ns, kind([session]))
        self.known -= {session} if what == "gone" else set()

    def _use(self, use_of: Any, session: int) -> None:
        who, chain, tenant, use = use_of
        request = self.requests.get(who)
        if request is None:
            self.ids[who] = self.now_ns
            prefix = spell(chain)
            request = self.requests[who] = Request(Row(0, num_tokens_of(prefix), 1, prefix, tenant))
            if session != NO_SESSION:
                self.sessions[who] = session
                self.known.add(session)
                self.begin(who, request, session)
            self.look_up(who, request)
        elif use == "extend":
            self.extend(who, request)
        else:
            self.end(who, request, use)
            del self.requests[who]
            self.sessions.pop(who, None)

    def begin(self, who: int, request: Request, session: int) -> None:
        """A request of a session has come."""
        self.real.handlers[SessionRequests](self.now_ns, SessionRequests([self.ids[who]], [session]))

    def look_up(self, who: int, request: Request) -> tuple[int, int]:
        """Its look-up."""
        return self.real.look_up(
            self.ids[who], list(request.prefix), request.tenant, request.prompt_tokens, self.now_ns
        )

    def extend(self, who: int, request: Request) -> tuple[int, int]:
        """Once more."""
        _, *more = self.real.extend(self.ids[who], self.now_ns)
        return more[0], more[1]

    def end(self, who: int, request: Request, use: str) -> None:
        """The look-up is over."""
        (self.real.store if use == "store" else self.real.release)(self.ids[who], self.now_ns)

    def change(self, up: set[int], lost: set[int]) -> None:
        """Servers leave and join."""
        self.real.set_up(up, lost, self.now_ns)


class Pair(Driven):
    """The same store twice."""

    def __init__(self, sizes: StoreSizes, time_ns: int, share: float, *, is_ttl: bool) -> None:
        seconds = time_ns / NS_PER_S
        super().__init__(sizes, TimeToLive(seconds, share) if is_ttl else Pin(seconds, share))
        self.naive = NaiveSessions(sizes, time_ns, share, is_ttl=is_ttl)

    def take(self, step: Any) -> Any:
        """Both have the same blocks, and keep the same, after each step."""
        super().take(step)
        real, naive = self.real, self.naive
        assert blocks_in(real) == sorted(naive.blocks)
        assert set(_names(real.kept())) == naive.kept()
        assert set(_names(real.tiers.pins)) == {block for _, block in naive.pins}
        account = real.account
        assert account.dram_evicted_blocks + account.ssd_evicted_blocks == naive.num_evictions
        assert real.kept_tokens == naive.tokens(naive.kept())
        (report,) = real.policy_report("cache")
        assert report.kept_blocks == naive.num_kept  # pyright: ignore
        assert report.expired_blocks == naive.num_expired  # pyright: ignore

    def become(self, what: str, session: int) -> None:
        """Of both."""
        self.naive.now_ns = self.now_ns
        super().become(what, session)
        (self.naive.idle if what == "idle" else self.naive.gone)(session)

    def begin(self, who: int, request: Request, session: int) -> None:
        """Of both."""
        super().begin(who, request, session)
        self.naive.begin(request, session)

    def look_up(self, who: int, request: Request) -> tuple[int, int]:
        """Of both."""
        self.naive.now_ns = self.now_ns
        found = super().look_up(who, request)
        assert found == self.naive.find(request)
        return found

    def extend(self, who: int, request: Request) -> tuple[int, int]:
        """Of both."""
        more = super().extend(who, request)
        assert more == self.naive.find_more(request)
        return more

    def end(self, who: int, request: Request, use: str) -> None:
        """Of both."""
        self.naive.now_ns = self.now_ns
        super().end(who, request, use)
        (self.naive.store if use == "store" else self.naive.release)(request)

    def change(self, up: set[int], lost: set[int]) -> None:
        """Of both."""
        super().change(up, lost)
        self.naive.set_up(up, lost)


def _names(keys: Any) -> list[tuple[int, int]]:
    return [(key >> TENANT_SHIFT, key % 2**TENANT_SHIFT) for key in keys]


@settings(max_examples=200, phases=QUICK_PHASES)
@given(
    sizes=SIZES,
    steps=SESSION_STEPS | STEPS_AND_CHANGES,
    time_ns=st.sampled_from([0, 1, 5, 20, 10**9]),
    share=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    is_ttl=st.booleans(),
)
def test_stores_with_a_time_to_live_or_pins_equal_lists_of_blocks(
    sizes: StoreSizes, steps: list[Any], time_ns: int, share: float, is_ttl: bool
) -> None:
    pair = Pair(sizes, time_ns, share, is_ttl=is_ttl)
    for step in steps:
        pair.take(step)


POLICIES = st.sampled_from(
    [
        CachePolicy(),
        TimeToLive(8 / NS_PER_S),
        Pin(20 / NS_PER_S, 0.5),
        Pin(1.0, 1.0),
        Prefetch(3 / NS_PER_S, 1 / NS_PER_S),
        Frequent(),
    ]
)


@settings(max_examples=200, phases=QUICK_PHASES)
@given(sizes=SIZES, steps=SESSION_STEPS, policy=POLICIES)
def test_what_is_kept_stays_and_all_fits(sizes: StoreSizes, steps: list[Any], policy: CachePolicy) -> None:
    """INV-4 in each tier, after each step (`blocks_in`); what is pinned is there, and what is kept is pinned."""
    driven = Driven(sizes, policy)
    store = driven.real
    for step in steps:
        before = set(store.tiers.pins)
        driven.take(step)
        assert all(store.tiers.holds(key) for key in before.intersection(store.tiers.pins))
        blocks_in(store)
        kept = set(store.kept())
        assert kept <= store.tiers.pins.keys()
        assert store.kept_tokens == sum(map(store.tiers.size_of, kept))
        assert store.kept_tokens <= sizes.num_servers * max(sizes.dram_tokens, sizes.ssd_tokens)
        assert (
            store.tiers.ranks.keys()
            == store.tiers.owners.keys()
            <= store.tiers.dram.blocks() | store.tiers.ssd.blocks()
        )
        sessions, tokens = store.fetch(driven.now_ns)
        assert all(tokens)
        if sessions:
            store.handlers[SessionsFetched](driven.now_ns, SessionsFetched(sessions, driven.now_ns % 3 > 0))
            blocks_in(store)
    for who, request in list(driven.requests.items()):
        driven.end(who, request, "release")
    for session in list(driven.known):
        driven.become("gone", session)
    assert not store.tiers.pins
    assert not store.kept_tokens


@settings(max_examples=200, phases=QUICK_PHASES)
@given(sizes=SIZES, steps=SESSION_STEPS, policy=st.sampled_from([CachePolicy(), TimeToLive(8 / NS_PER_S), Frequent()]))
def test_no_block_leaves_before_one_behind_it(sizes: StoreSizes, steps: list[Any], policy: CachePolicy) -> None:
    """So that nothing is here that no look-up can find."""
    driven = Driven(replace(sizes, ssd_tokens=0, tenant_share=1.0), policy)
    store = driven.real
    parents: dict[int, int] = {}
    for step in steps:
        driven.take(step)
        for who in driven.requests:
            blocks, tenant, *_ = store._open[driven.ids[who]]
            keys = [tenant << TENANT_SHIFT | block for block in blocks]
            parents.update(zip(keys[1:], keys))
        here = store.tiers.dram.blocks()
        for key in here.intersection(parents):
            assert parents[key] in here


PROMPTS = st.lists(st.tuples(CHAINS, st.integers(0, 1), st.integers(0, 2)), min_size=5, max_size=60)


@settings(max_examples=200, phases=QUICK_PHASES)
@given(prompts=PROMPTS, capacities=st.lists(st.integers(0, 8000), min_size=2, max_size=4), policy=POLICIES)
def test_no_policy_finds_more_than_the_oracle(
    prompts: list[tuple[list[int], int, int]], capacities: list[int], policy: CachePolicy
) -> None:
    rows: list[Prompt] = []
    for chain, tenant, _ in prompts:
        prefix = spell(chain)
        rows.append((list(prefix), tenant, num_tokens_of(prefix)))
    assume(any(row[2] for row in rows))
    sizes = StoreSizes(1, 0, 512)
    best = clairvoyant_hits(rows, sizes, sorted(capacities))
    found = [hits.found for hits in best]
    assert found == sorted(found)
    for capacity, bound in zip(sorted(capacities), best):
        of_size = replace(sizes, dram_tokens=capacity)
        assert store_hits(rows, of_size).found <= bound.found
        assert _hits(rows, [session for *_, session in prompts], of_size, policy).found <= bound.found


def _hits(prompts: list[Prompt], sessions: list[int], sizes: StoreSizes, policy: CachePolicy) -> HitTokens:
    store = SessionStore(sizes, policy)
    for number, ((blocks, tenant, num_tokens), session) in enumerate(zip(prompts, sessions)):
        store.handlers[SessionRequests](number, SessionRequests([number], [session]))
        store.look_up(number, blocks, tenant, num_tokens, number)
        store.store(number, number)
        store.handlers[SessionsIdle](number, SessionsIdle([session]))
    return HitTokens(store.account.dram_found_tokens, store.account.asked_tokens)


@settings(max_examples=100, phases=QUICK_PHASES)
@given(prompts=st.lists(st.integers(0, 6), min_size=1, max_size=8), room=st.integers(0, 3))
def test_the_oracle_is_the_best_of_all_choices(prompts: list[int], room: int) -> None:
    """Of whole blocks, against trying out everything: prompts of one or two blocks, of which the first are shared."""
    chains = [[100 + one % 2] if one < 2 else [100 + one % 2, one] for one in prompts]
    rows: list[Prompt] = [(chain, 0, 512 * len(chain)) for chain in chains]
    states: dict[frozenset[int], int] = {frozenset(): 0}
    for chain in chains:
        reached: dict[frozenset[int], int] = {}
        for held, found in states.items():
            hits = next((place for place, block in enumerate(chain) if block not in held), len(chain))
            for kept in _subsets(held | set(chain), room):
                reached[kept] = max(reached.get(kept, 0), found + 512 * hits)
        states = reached
    (best,) = clairvoyant_hits(rows, StoreSizes(1, 0, 512), [512 * room])
    assert best.found == max(states.values())


def _subsets(blocks: frozenset[int], most: int) -> list[frozenset[int]]:
    subsets = [frozenset[int]()]
    for block in blocks:
        subsets += [one | {block} for one in subsets if len(one) < most]
    return subsets

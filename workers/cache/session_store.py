"""A store of prefix KV blocks whose policy is not least recently used: what it keeps, and for whom.

What a session keeps is pinned like what a look-up has found: nothing of it is evicted while it is kept, be it in DRAM
or on SSD. It is let go when the session comes back (its look-up then holds what it finds), closes, or its time runs
out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final

from scheduler.protocol.cache_policy import CachedSession, CachePolicy, CacheUse
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs
from scheduler.protocol.messages import (
    NO_SESSION,
    CachePolicyReported,
    Message,
    SessionRequests,
    SessionsFetched,
    SessionsGone,
    SessionsIdle,
    StoreAnswers,
)
from workers.cache.ranked_tiers import MANY, RankedTiers
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore, keys_of_blocks
from workers.cache.tiers import Tiers


@dataclass(slots=True)
class _Session:
    """`turn`: keys of all blocks of its requests since it was idle last, each chain from its beginning. `kept`: those
    that are pinned for it until `until_ns`. `ids` are requests that are not known to have ended. `was_idle`: until the
    first look-up of its next turn. It is fetched at `fetch_ns`."""

    number: int
    ids: set[int] = field(default_factory=set[int])
    num_requests: int = 0
    turn: dict[int, None] = field(default_factory=dict[int, None])
    kept: list[int] = field(default_factory=list[int])
    until_ns: int = 0
    idle_since_ns: int | None = None
    was_idle: bool = False
    num_gaps: int = 0
    gaps_ns: int = 0
    fetch_ns: int = NEVER_NS


class SessionStore(BlockStore):
    """A `BlockStore` that asks a policy. Of sessions it knows what it was told by messages, all of which `handlers`
    takes; a request of which it was told nothing is of none."""

    def __init__(self, sizes: StoreSizes, policy: CachePolicy) -> None:
        super().__init__(sizes)
        assert isinstance(self._tiers, RankedTiers)
        self.tiers: Final = self._tiers
        self.kept_tokens = 0
        """What is kept for sessions takes, each block once."""
        self._policy = policy
        self._sessions: dict[int, _Session] = {}
        self._session_of: dict[int, int] = {}
        # Of blocks that are kept: for how many sessions.
        self._keepers: dict[int, int] = {}
        # Sessions by when what is kept for them runs out, and when they are fetched; entries may be out of date.
        self._ends: list[tuple[int, int]] = []
        self._fetches: list[tuple[int, int]] = []
        # Blocks on their way from SSD, by session: pinned until they are there.
        self._fetching: dict[int, list[int]] = {}
        self._kept_blocks = self._expired_blocks = self._prefetched_tokens = self._prefetch_used_tokens = 0

    def _new_tiers(self) -> Tiers | None:
        return RankedTiers(self.sizes, self.account)

    @property
    def handlers(self) -> Mapping[type, Callable[[int, Any], Outputs]]:
        """By message of the core."""
        return {
            SessionRequests: self._on_requests,
            SessionsIdle: self._on_idle,
            SessionsGone: self._on_gone,
            SessionsFetched: self._on_fetched,
        }

    def policy_report(self, address: str) -> Sequence[Message]:
        """What the policy has done."""
        counts = self._kept_blocks, self._expired_blocks, self._prefetched_tokens, self._prefetch_used_tokens
        return (CachePolicyReported(address, *counts, *self._policy.failures),)

    # -- uses of blocks

    def look_up(self, request_id: int, prefix: list[int], tenant: int, num_tokens: int, now_ns: int) -> tuple[int, int]:
        """As in `BlockStore`; what was kept for its session is let go, as far as it was not found."""
        self.expire(now_ns)
        fetched = self._take_fetched(prefix, tenant, num_tokens) if self.tiers.fetched else ()
        found = super().look_up(request_id, prefix, tenant, num_tokens, now_ns)
        num_found = self._open[request_id][3]
        self._prefetch_used_tokens += sum(size for index, size in fetched if index < num_found)
        session = self._session_of.get(request_id)
        if session is not None:
            self._resume(self._sessions[session])
        return found

    def _take_fetched(self, prefix: list[int], tenant: int, num_tokens: int) -> list[tuple[int, int]]:
        """Places in a prompt, and sizes, of blocks that were brought ahead of it."""
        fetched, keys = self.tiers.fetched, keys_of_blocks(tenant, self._keys_of(prefix, num_tokens))
        taken = [(index, self.tiers.size_of(key)) for index, key in enumerate(keys) if key in fetched]
        fetched.difference_update(keys)
        return taken

    def store(self, request_id: int, now_ns: int) -> None:
        """As in `BlockStore`."""
        self.expire(now_ns)
        blocks, tenant, num_tokens, found, _ = self._open[request_id]
        keys = keys_of_blocks(tenant, blocks)
        cached_tokens = min(found * self.sizes.block_tokens, num_tokens)
        session = self._note(request_id, keys, tenant, (num_tokens, cached_tokens), now_ns)
        super().store(request_id, now_ns)
        self.tiers.forget_unplaced(keys)
        if session is not None:
            self._keep(session, now_ns)

    def insert_all(self, message: StoreAnswers, now_ns: int) -> None:
        """As in `BlockStore`."""
        self.expire(now_ns)
        columns = message.ids, message.chains, message.tenants, message.kv_tokens
        for request_id, chain, tenant, kv_tokens in zip(*columns, strict=True):
            blocks = self._keys_of(chain, kv_tokens)[: kv_tokens // self.sizes.block_tokens]
            keys = keys_of_blocks(tenant, blocks)
            session = self._note(request_id, keys, tenant, (kv_tokens, 0), now_ns)
            self.insert(chain, tenant, kv_tokens, now_ns)
            self.tiers.forget_unplaced(keys)
            if session is not None:
                self._keep(session, now_ns)

    def _note(
        self, request_id: int, keys: list[int], tenant: int, tokens: tuple[int, int], now_ns: int
    ) -> _Session | None:
        """A chain of blocks is about to be stored; returns whose it is."""
        number = self._session_of.get(request_id, NO_SESSION)
        rank = self._policy.rank(CacheUse(now_ns, number, tenant, *tokens))
        if number == NO_SESSION:
            self.tiers.note_use(keys, MANY, rank)
            return None
        self.tiers.note_use(keys, number, rank)
        session = self._sessions[number]
        session.turn.update(dict.fromkeys(keys))
        return session

    def set_up(self, up: Collection[int], lost: Collection[int], now_ns: int) -> dict[int, int]:
        """As in `BlockStore`; what was kept on lost servers is kept no more."""
        gone = self.tiers.set_up(up, lost, now_ns)
        if gone:
            self._lose(gone)
        return self._left(self.tiers, gone, now_ns)

    def _lose(self, gone: Collection[int]) -> None:
        for session in self._sessions.values():
            session.kept = [key for key in session.kept if key not in gone]
        for number, keys in self._fetching.items():
            self._fetching[number] = [key for key in keys if key not in gone]
        for key in gone:
            self._keepers.pop(key, None)
        self.kept_tokens = sum(self.tiers.size_of(key) for key in self._keepers)

    # -- what sessions keep

    def _on_requests(self, now_ns: int, message: SessionRequests) -> Outputs:
        for request_id, number in zip(message.ids, message.sessions, strict=True):
            session = self._sessions.get(number)
            if session is None:
                session = self._sessions[number] = _Session(number)
            session.num_requests += 1
            session.ids.add(request_id)
            self._session_of[request_id] = number
            if session.idle_since_ns is not None:
                session.num_gaps += 1
                session.gaps_ns += now_ns - session.idle_since_ns
                session.idle_since_ns, session.fetch_ns = None, NEVER_NS
            if request_id in self._open:
                self._resume(session)
        return NOTHING

    def _resume(self, session: _Session) -> None:
        """Its next turn has been looked up."""
        if session.was_idle:
            session.was_idle = False
            self._let_go(session)
            session.turn = {}

    def _on_idle(self, now_ns: int, message: SessionsIdle) -> Outputs:
        self.expire(now_ns)
        for number in message.sessions:
            session = self._sessions.get(number)
            if session is None:  # this cache began after its requests did
                continue
            self._forget_ids(session)
            session.idle_since_ns, session.was_idle = now_ns, True
            self._keep(session, now_ns)
            after_ns = self._policy.fetch_ns(self._view(session, now_ns)) if self.sizes.ssd_tokens else -1
            if after_ns >= 0:
                session.fetch_ns = now_ns + after_ns
                heappush(self._fetches, (session.fetch_ns, number))
            elif not session.kept:
                session.turn = {}
        return NOTHING

    def _on_gone(self, now_ns: int, message: SessionsGone) -> Outputs:
        self.expire(now_ns)
        for number in message.sessions:
            session = self._sessions.pop(number, None)
            if session is None:
                continue
            self._forget_ids(session)
            self._let_go(session)
            session.fetch_ns = NEVER_NS
            if self._policy.expired_first:
                self.tiers.sink(session.turn, number)
        return NOTHING

    def _forget_ids(self, session: _Session) -> None:
        for request_id in session.ids:
            del self._session_of[request_id]
        session.ids.clear()

    def _view(self, session: _Session, now_ns: int) -> CachedSession:
        tiers = self.tiers
        capacity_tokens = tiers.dram.capacity_tokens or tiers.ssd.capacity_tokens
        return CachedSession(
            now_ns,
            session.number,
            session.idle_since_ns is not None,
            session.num_requests,
            session.num_gaps,
            session.gaps_ns // max(1, session.num_gaps),
            sum(tiers.size_of(key) for key in session.turn if tiers.holds(key)),
            self.kept_tokens,
            capacity_tokens,
        )

    def _keep(self, session: _Session, now_ns: int) -> None:
        """Ask anew what is kept for a session, and how long."""
        before = frozenset(self._let_go(session))
        time_ns = self._policy.keep_ns(self._view(session, now_ns))
        if time_ns <= 0:
            return
        tiers, keepers = self.tiers, self._keepers
        keys = session.kept = [key for key in session.turn if tiers.holds(key)]
        tiers.pin(keys)
        for key in keys:
            count = keepers.get(key, 0)
            keepers[key] = count + 1
            if not count:
                self.kept_tokens += tiers.size_of(key)
        self._kept_blocks += sum(key not in before for key in keys)
        session.until_ns = now_ns + time_ns
        heappush(self._ends, (session.until_ns, session.number))

    def _let_go(self, session: _Session) -> list[int]:
        """Nothing is kept for a session any more; returns what was."""
        keys, session.kept = session.kept, []
        keepers = self._keepers
        for key in keys:
            count = keepers.pop(key)
            if count > 1:
                keepers[key] = count - 1
            else:
                self.kept_tokens -= self.tiers.size_of(key)
        self.tiers.drop_pins(keys)
        return keys

    def expire(self, now_ns: int) -> None:
        """Let go of what is kept for sessions whose time has run out."""
        ends = self._ends
        while ends and ends[0][0] <= now_ns:
            until_ns, number = heappop(ends)
            session = self._sessions.get(number)
            if session is None or session.until_ns != until_ns or not session.kept:
                continue
            self._expired_blocks += len(self._let_go(session))
            if self._policy.expired_first:
                self.tiers.sink(session.turn, number)
            if session.was_idle and session.fetch_ns == NEVER_NS:
                session.turn = {}

    # -- what is fetched from SSD

    @property
    def fetch_due_ns(self) -> int:
        """When `fetch` is to be called next."""
        fetches = self._fetches
        while fetches and not self._is_due(*fetches[0]):
            heappop(fetches)
        return fetches[0][0] if fetches else NEVER_NS

    def _is_due(self, fetch_ns: int, number: int) -> bool:
        session = self._sessions.get(number)
        return session is not None and session.fetch_ns == fetch_ns

    def fetch(self, now_ns: int) -> tuple[list[int], list[int]]:
        """Sessions whose time has come, and tokens of each that are only on SSD; they are pinned until they are there.

        A session that is being fetched already, or has nothing there, is left out.
        """
        self.expire(now_ns)
        sessions: list[int] = []
        num_tokens: list[int] = []
        while self.fetch_due_ns <= now_ns:
            session = self._sessions[heappop(self._fetches)[1]]
            session.fetch_ns = NEVER_NS
            keys = self.tiers.on_ssd_alone(session.turn)
            if not keys or session.number in self._fetching:
                continue
            self.tiers.pin(keys)
            self._fetching[session.number] = keys
            sessions.append(session.number)
            num_tokens.append(sum(map(self.tiers.size_of, keys)))
        return sessions, num_tokens

    def _on_fetched(self, now_ns: int, message: SessionsFetched) -> Outputs:
        self.expire(now_ns)
        for number in message.sessions:
            keys = self._fetching.pop(number, [])
            if message.arrived:
                self._prefetched_tokens += sum(map(self.tiers.size_of, keys))
                self.tiers.bring(keys, now_ns)
            self.tiers.drop_pins(keys)
        return NOTHING

    def kept(self) -> Iterable[int]:
        """Keys of blocks that are kept for sessions."""
        return self._keepers.keys()

"""The lists of `cache`, with what sessions keep: for a time after each use, or while they are idle."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.naive.cache import DRAM, SSD, Block, NaiveCache
from tests.naive.request import Request
from workers.cache.sizes import StoreSizes


@dataclass(eq=False)
class NaiveSession:
    """`turn`: blocks of its requests since it was idle last."""

    turn: list[Block] = field(default_factory=list[Block])
    until_ns: int = 0
    is_idle: bool = False
    was_idle: bool = False


class NaiveSessions(NaiveCache):
    """Follows "Cache policies" in docs/caching.md: `ttl` keeps from each use on, else only idle sessions keep.

    What a session keeps is pinned by it, as by a request.
    """

    def __init__(self, sizes: StoreSizes, time_ns: int, kept_share: float, *, is_ttl: bool) -> None:
        super().__init__(
            sizes.dram_tokens,
            sizes.block_tokens,
            num_servers=sizes.num_servers,
            ssd_tokens=sizes.ssd_tokens,
            share=sizes.tenant_share,
        )
        self.time_ns = time_ns
        self.kept_share = kept_share
        self.is_ttl = is_ttl
        self.now_ns = 0
        self.sessions: dict[int, NaiveSession] = {}
        self.members: list[tuple[Request, int]] = []
        """All requests of sessions that ever came."""
        self.users: dict[Block, set[int]] = {}
        self.sunk: set[Block] = set()
        self.num_kept = self.num_expired = 0

    def begin(self, request: Request, session: int) -> None:
        """The request is of this session, which is not idle any more."""
        self.members.append((request, session))
        self.sessions.setdefault(session, NaiveSession()).is_idle = False

    def session_of(self, request: Request) -> int:
        """The session of a request, -1 for none."""
        return next((session for member, session in self.members if member is request), -1)

    def find(self, request: Request) -> tuple[int, int]:
        """Then the session holds nothing but what its look-ups hold."""
        self.expire()
        found = super().find(request)
        session = self.sessions.get(self.session_of(request))
        if session is not None and session.was_idle:
            session.was_idle = False
            self._let_go(session)
            session.turn = []
        self._prune()
        return found

    def store(self, request: Request) -> None:
        """What was stored may be kept for its session."""
        self.expire()
        number = self.session_of(request)
        for block in request.blocks():
            self.users.setdefault(block, set()).add(number)
            self.sunk.discard(block)
        super().store(request)
        self._prune()
        if number in self.sessions:
            session = self.sessions[number]
            session.turn += [block for block in request.blocks() if block not in session.turn]
            self.keep(session)

    def idle(self, number: int) -> None:
        """None of its requests is open."""
        self.expire()
        session = self.sessions[number]
        session.is_idle = session.was_idle = True
        self.keep(session)
        if not self.kept_by(session):
            session.turn = []

    def gone(self, number: int) -> None:
        """It does not come back."""
        self.expire()
        session = self.sessions.pop(number)
        self._let_go(session)
        self._sink(session, number)

    def keep(self, session: NaiveSession) -> None:
        """Ask anew what the session keeps."""
        before = self.kept_by(session)
        self._let_go(session)
        here = [block for block in session.turn if block in self.blocks]
        capacity = self.capacity[DRAM] or self.capacity[SSD]
        fits = self.tokens(self.kept()) + self.tokens(here) <= self.kept_share * capacity
        if fits and (self.is_ttl or session.is_idle) and self.time_ns:
            for block in here:
                self.pins.append((session, block))  # pyright: ignore[reportArgumentType]
            self.num_kept += len([block for block in here if block not in before])
            session.until_ns = self.now_ns + self.time_ns

    def expire(self) -> None:
        """Whose time has run out keeps nothing."""
        for number, session in sorted(self.sessions.items(), key=lambda one: (one[1].until_ns, one[0])):
            kept = self.kept_by(session)
            if kept and session.until_ns <= self.now_ns:
                self._let_go(session)
                self.num_expired += len(kept)
                self._sink(session, number)
                if session.was_idle:
                    session.turn = []

    def kept_by(self, session: NaiveSession) -> list[Block]:
        """What this session keeps."""
        return [block for pinned_by, block in self.pins if pinned_by is session]  # pyright: ignore

    def kept(self) -> set[Block]:
        """What all sessions keep."""
        return {block for session in self.sessions.values() for block in self.kept_by(session)}

    def tokens(self, blocks: Iterable[Block]) -> int:
        """What these take."""
        return sum(self.size.get(block, self.block_tokens) for block in blocks)

    def set_up(self, up: set[int], lost: set[int]) -> list[Request]:
        """What sessions kept is cut as what requests pinned is, but nobody has to be told."""
        by_sessions = [pin for pin in self.pins if isinstance(pin[0], NaiveSession)]
        cut = super().set_up(up, lost)
        here = self.blocks
        others = [pin for pin in self.pins if not isinstance(pin[0], NaiveSession)]
        self.pins = others + [pin for pin in by_sessions if pin[1] in here]
        self._prune()
        return [request for request in cut if not isinstance(request, NaiveSession)]

    def _let_go(self, session: NaiveSession) -> None:
        self.pins = [pin for pin in self.pins if pin[0] is not session]  # pyright: ignore

    def _sink(self, session: NaiveSession, number: int) -> None:
        """What it alone has used is the first to go, with a time-to-live."""
        if self.is_ttl:
            self.sunk |= {block for block in session.turn if self.users.get(block) == {number}}

    def _prune(self) -> None:
        here = self.blocks
        self.users = {block: users for block, users in self.users.items() if block in here}
        self.sunk &= set(here)

    def _use(self, tier: int, chain: list[Block]) -> None:
        """Whatever is used takes the last place, pinned or not, as it may be let go without a use."""
        here = self.lists[tier]
        for block in reversed(chain if self.capacity[tier] else []):
            if block in here:
                here.remove(block)
            here.append(block)
            self._note(tier, block)

    def _beside(self, tier: int, block: Block, share: float | None) -> list[Block]:
        """Sunk ones first."""
        return sorted(super()._beside(tier, block, share), key=lambda other: other not in self.sunk)

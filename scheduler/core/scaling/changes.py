"""From how many instances there shall be to which: who starts where, who is drained, whose NPUs go to another role.

Nobody who serves is drained for NPUs that are spare, and of a role that is to shrink those go first whose NPUs another
role needs: an instance of another role that takes their place is what is called a switch of roles. Sizes decide what
can be had: a decode instance of 160 NPUs begins when all prefill instances on its NPUs have left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final

from msgspec import Struct, field

from scheduler.core.scaling.placement import HOLDING, LEAVING, WANTED, Phase, PlacementBook


class Changes(Struct):
    """Addresses of slots; as in `FleetScaled`."""

    started: list[str] = field(default_factory=list[str])
    booked: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    drained: list[str] = field(default_factory=list[str])
    cancelled: list[str] = field(default_factory=list[str])

    def __bool__(self) -> bool:
        return bool(self.started or self.booked or self.kept or self.drained or self.cancelled)


class ChangePlan:
    """Works out one set of changes and notes their phases in the book.

    `serves` tells who takes work now, `is_cut` whose NPUs are not reached, `load` how much would have to be waited for
    if one were drained, in tokens. `leave` are those that an operator sends away: they are not kept. `fits` tells
    whether instances could be there together, for all that they need beside NPUs.
    """

    def __init__(
        self,
        book: PlacementBook,
        serves: Callable[[str], bool],
        is_cut: Callable[[str], bool],
        load: Callable[[str], int],
        leave: Collection[str] = (),
        fits: Callable[[Collection[str]], bool] = lambda _: True,
    ) -> None:
        self._book = book
        self._serves = serves
        self._is_cut = is_cut
        self._load = load
        self._fits = fits
        self._leave = leave
        self._surplus = Counter[str]()
        self._changes: Final = Changes()

    def reach(self, wanted: Mapping[str, int]) -> Changes:
        """Come as near to these counts as there is room for."""
        missing = Counter[str]()
        for role, count in wanted.items():
            # Whoever is cut off serves nobody: another may take its place.
            have = [address for address in self._book.of_role(role, *WANTED) if not self._is_cut(address)]
            self._surplus[role] = max(0, len(have) - count)
            missing[role] = max(0, count - len(have))
        for role in wanted:
            self._cancel(role)
        for role, count in missing.items():
            for _ in range(count):
                if not (self._keep(role) or self._start(role) or self._book_leaving(role) or self._switch(role)):
                    break
        for role in wanted:
            self._drain(role)
        return self._changes

    def _cancel(self, role: str) -> None:
        """Who does not serve yet goes first, the last in order."""
        book = self._book
        for phase in (Phase.BOOKED, Phase.STARTING):
            for address in reversed(book.of_role(role, phase)):
                if not self._surplus[role]:
                    return
                if self._is_cut(address):
                    continue
                book.phase[address] = Phase.ABSENT if phase is Phase.BOOKED else Phase.STOPPING
                self._changes.cancelled.append(address)
                self._surplus[role] -= 1

    def _keep(self, role: str) -> bool:
        """Whoever leaves has its model: it stays if nobody waits for its NPUs."""
        book = self._book
        for address in book.of_role(role, Phase.DRAINING):
            if address in self._leave or book.sharing(address, Phase.BOOKED) or self._is_cut(address):
                continue
            if not self._has_room(address):
                continue
            book.phase[address] = Phase.SERVING
            self._changes.kept.append(address)
            return True
        return False

    def _start(self, role: str) -> bool:
        book = self._book
        for address in book.of_role(role, Phase.ABSENT):
            if book.is_free(address) and not self._is_cut(address) and self._has_room(address):
                book.phase[address] = Phase.STARTING
                self._changes.started.append(address)
                return True
        return False

    def _book_leaving(self, role: str) -> bool:
        """On NPUs of those that leave anyway."""
        book = self._book
        for address in book.of_role(role, Phase.ABSENT):
            in_the_way = book.sharing(address, Phase.BOOKED, Phase.STARTING, Phase.SERVING)
            if not in_the_way and not self._is_cut(address) and self._has_room(address):
                return self._promise(address)
        return False

    def _switch(self, role: str) -> bool:
        """On NPUs of those of other roles that are to go, as few and as little loaded as possible."""
        book = self._book
        best: tuple[tuple[int, int], str, list[str]] | None = None
        for address in book.of_role(role, Phase.ABSENT):
            if self._is_cut(address) or book.sharing(address, Phase.BOOKED, Phase.STARTING):
                continue
            if not self._has_room(address):
                continue
            blockers = book.sharing(address, Phase.SERVING)
            counted = Counter(book.slots[one].role for one in blockers if not self._is_cut(one))
            roles = {book.slots[one].role for one in blockers}
            if any(counted[one] > self._surplus[one] or not self._spares(one, blockers) for one in roles):
                continue
            cost = len(blockers), sum(map(self._load, blockers))
            if best is None or cost < best[0]:
                best = cost, address, blockers
        if best is None:
            return False
        for one in best[2]:
            self._begin_draining(one)
        return self._promise(best[1])

    def _has_room(self, address: str) -> bool:
        """Beside those that stay, whichever of a role that has too many these are."""
        stay = [address]
        for role in self._book.by_role:
            there = self._book.of_role(role, *WANTED)
            stay += there[: max(0, len(there) - self._surplus[role])]
        return self._fits(stay)

    def _promise(self, address: str) -> bool:
        self._book.phase[address] = Phase.BOOKED
        self._changes.booked.append(address)
        return True

    def _drain(self, role: str) -> None:
        """Those with the least to do, the last in order on a tie."""
        book = self._book
        order = sorted(enumerate(book.of_role(role, Phase.SERVING)), key=lambda one: (self._load(one[1]), -one[0]))
        for _, address in order:
            if not self._surplus[role]:
                return
            if not self._is_cut(address) and self._spares(role, [address]):
                self._begin_draining(address)

    def _begin_draining(self, address: str) -> None:
        self._book.phase[address] = Phase.DRAINING
        self._changes.drained.append(address)
        if not self._is_cut(address):  # who is cut off counts as none, and its going makes no difference
            self._surplus[self._book.slots[address].role] -= 1

    def _spares(self, role: str, addresses: Collection[str]) -> bool:
        """Whether anybody of a role serves without these (INV-14)."""
        there = self._book.of_role(role, Phase.SERVING)
        return any(self._serves(one) for one in there if one not in addresses)


def ready_to_start(book: PlacementBook) -> list[str]:
    """Those whose NPUs were promised to them and are spare now; they start."""
    ready = [address for address, phase in book.phase.items() if phase is Phase.BOOKED]
    ready = [address for address in ready if not book.sharing(address, *HOLDING)]
    for address in ready:
        book.phase[address] = Phase.STARTING
    return ready


def is_leaving(book: PlacementBook, address: str) -> bool:
    """Whether it is to have no process soon, or has none."""
    return book.phase[address] in LEAVING or book.phase[address] in (Phase.ABSENT, Phase.BOOKED)

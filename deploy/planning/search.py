"""The cheapest counts of instances that serve: a search that knows nothing of what is counted.

What serves is taken to be monotone: whoever has as many of each kind as somebody who serves, serves. So one try tells
of all that is smaller, if it fails, and of all that is larger, if it serves, and the answer is the cheapest of all.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from msgspec import Struct, field

Counts = tuple[int, ...]
"""Of each kind of instance."""

Search = Generator[Counts, bool, Counts | None]
"""Yields counts to try, is sent whether they serve, and returns the cheapest that do; None if none does."""


class Lattice(Struct, frozen=True):
    """One or two kinds of instances of `sizes` (their cost), at least `least` of each, at a cost of at most `most`."""

    sizes: Counts
    least: Counts
    most: int

    def cost(self, counts: Counts) -> int:
        """The sum of sizes."""
        return sum(size * count for size, count in zip(self.sizes, counts, strict=True))

    def largest(self, below: int) -> Iterator[Counts]:
        """Those counts below a cost to which nothing can be added: between them they tell of all counts below it."""
        first = self.sizes[0]
        if len(self.sizes) == 1:
            count = (min(below - 1, self.most)) // first
            if count >= self.least[0]:
                yield (count,)
            return
        second, limit = self.sizes[1], min(below - 1, self.most)
        for other in range(self.least[1], limit // second + 1):
            count = (limit - other * second) // first
            if count >= self.least[0]:
                yield count, other


class _Known(Struct):
    """What tries told. Lists hold counts of which none tells of another."""

    serving: list[Counts] = field(default_factory=list[Counts])
    failing: list[Counts] = field(default_factory=list[Counts])

    def tells(self, counts: Counts) -> bool | None:
        """Whether counts serve, if it follows from what is known."""
        if any(_within(counts, one) for one in self.failing):
            return False
        if any(_within(one, counts) for one in self.serving):
            return True
        return None

    def note(self, counts: Counts, *, serves: bool) -> None:
        (self.serving if serves else self.failing).append(counts)


def cheapest(lattice: Lattice, start: Counts, failing: Sequence[Counts] = ()) -> Search:
    """`start` is where the answer is expected; it costs tries, and nothing else, if it is elsewhere.

    `failing` are known not to serve.
    """
    known = _Known(failing=list(failing))
    serving = yield from _any_serving(lattice, start, known)
    if serving is None:
        return None
    best = yield from _smaller(lattice, serving, known)
    while True:
        nearest = _nearest(lattice, best, known)
        if nearest is None:
            return best
        if (yield from _try(nearest, known)):
            best = yield from _smaller(lattice, nearest, known)


def _nearest(lattice: Lattice, best: Counts, known: _Known) -> Counts | None:
    """Of the largest counts that are cheaper and may serve, those most like the best; None if there are none."""
    open_ones = [one for one in lattice.largest(lattice.cost(best)) if known.tells(one) is not False]
    return min(open_ones, key=lambda one: (_distance(one, best), one), default=None)


def _any_serving(lattice: Lattice, start: Counts, known: _Known) -> Generator[Counts, bool, Counts | None]:
    """From the start on half as much again each time, then whatever is largest."""
    counts = start
    while lattice.cost(counts) <= lattice.most:
        if (yield from _try(counts, known)):
            return counts
        counts = tuple(max(count + 1, count * 3 // 2) for count in counts)
    for largest in sorted(lattice.largest(lattice.most + 1), key=lambda one: (_distance(one, start), one)):
        if (yield from _try(largest, known)):
            return largest
    return None


def _smaller(lattice: Lattice, counts: Counts, known: _Known) -> Generator[Counts, bool, Counts]:
    """As few of the first kind as serve with the others as they are, then of the next."""
    for kind, least in enumerate(lattice.least):
        low, high = least - 1, counts[kind]  # low fails, or is none at all
        while high - low > 1:
            # One less is tried before half of them: starts are good guesses.
            middle = high - 1 if high == counts[kind] else (low + high) // 2
            fewer = (*counts[:kind], middle, *counts[kind + 1 :])
            if (yield from _try(fewer, known)):
                high = middle
            else:
                low = middle
        counts = (*counts[:kind], high, *counts[kind + 1 :])
    return counts


def _try(counts: Counts, known: _Known) -> Generator[Counts, bool, bool]:
    told = known.tells(counts)
    if told is None:
        told = yield counts
        known.note(counts, serves=told)
    return told


def _within(one: Counts, other: Counts) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True))


def _distance(one: Counts, other: Counts) -> float:
    """In shares of each kind, so that one of few weighs more than one of many."""
    return sum(abs(a - b) / max(a, b, 1) for a, b in zip(one, other, strict=True))

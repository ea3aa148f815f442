"""Max-min fair sharing of links, in whole numbers, over groups of flows that take the same way.

All flows rise together from nothing; each stops where it reaches its limit or a link of its way is full. A flow of
weight w counts as w flows. So no flow can have more without taking from one that has no more than itself.

Rounding is a rule, so that everybody who applies it gets the same: flows rise in whole steps of 1, and before each step
every link that could not bear it stops all that still rise on it. What is left over there is less than their weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True, slots=True)
class Path:
    """A way that many flows can take: indices of its links, and the highest level of a flow on it."""

    links: tuple[int, ...]
    limit: int


class FairShares:
    """Levels of paths, by index, as weight comes and goes: weight x level is a path's rate, as `capacities` count it.

    A link that could bear all its flows at their limits binds nobody: as long as only such links are touched, a change
    costs a few additions. Otherwise `share_out` must follow, once for all changes of an instant; it costs microseconds
    for each path over a link that may bind, however many flows there are on it. A path without weight stands at its
    limit.
    """

    def __init__(self, capacities: Sequence[int], paths: Sequence[Path] = ()) -> None:
        for capacity in capacities:
            _check(capacity)
        self.levels: list[int] = []
        self.weights: list[int] = []
        self._links: list[tuple[int, ...]] = []
        self._limits: list[int] = []
        self._capacities = list(capacities)
        # What all flows over a link would take at their limits, and the links that could not bear it.
        self._wanted = [0] * len(capacities)
        self._tight: set[int] = set()
        self._held_back: set[int] = set()
        self._touched: set[int] = set()
        self._over: list[list[int]] = [[] for _ in capacities]
        for path in paths:
            self.add_path(path)

    def add_path(self, path: Path) -> int:
        """A new path, without weight, by its index."""
        _check(path.limit)
        index = len(self.levels)
        self.levels.append(path.limit)
        self.weights.append(0)
        self._links.append(path.links)
        self._limits.append(path.limit)
        for link in path.links:
            self._over[link].append(index)
        return index

    @property
    def is_tight(self) -> bool:
        """Whether any flow may have to do with less than its limit."""
        return bool(self._tight)

    def add(self, path: int, weight: int) -> bool:
        """Put weight on a path, or take it away if negative; answers whether `share_out` has to find levels anew."""
        self.weights[path] += weight
        wanted, capacities, tight = self._wanted, self._capacities, self._tight
        more = weight * self._limits[path]
        is_touched = False
        for link in self._links[path]:
            now = wanted[link] = wanted[link] + more
            if now > capacities[link]:
                tight.add(link)
                self._touched.add(link)
                is_touched = True
            elif tight and link in tight:
                tight.remove(link)
                self._touched.add(link)
                is_touched = True
        return is_touched

    def set_capacity(self, link: int, capacity: int) -> None:
        """What a link carries has changed; `share_out` finds the levels anew."""
        _check(capacity)
        self._capacities[link] = capacity
        self._touched.add(link)
        if self._wanted[link] > capacity:
            self._tight.add(link)
        else:
            self._tight.discard(link)

    def set_limit(self, path: int, limit: int) -> None:
        """A flow on a path has another highest level; `share_out` finds the levels anew."""
        _check(limit)
        more = self.weights[path] * (limit - self._limits[path])
        self._limits[path] = limit
        self._held_back.add(path)
        for link in self._links[path]:
            self._wanted[link] += more
            self.set_capacity(link, self._capacities[link])

    def share_out(self) -> list[int]:
        """Find the levels of all paths over tight links; whoever is over none any more goes to its limit.

        Answers the paths whose level has changed, in order. Only what hangs together with links that were touched since
        the last time is looked at: by paths with weight, over tight links.
        """
        levels, limits, held_back = self.levels, self._limits, self._held_back
        paths, tight = self._reached()
        self._touched.clear()
        stopped = self._stop(tight)
        changed: list[int] = []
        for path in paths:
            level = stopped.get(path, limits[path])
            if level < limits[path]:
                held_back.add(path)
            else:
                held_back.discard(path)
            if level != levels[path]:
                levels[path] = level
                changed.append(path)
        changed.sort()
        return changed

    def _reached(self) -> tuple[set[int], set[int]]:
        """Paths that the touched links can matter to, and all tight links over which these go."""
        weights, links, over, tight, held_back = self.weights, self._links, self._over, self._tight, self._held_back
        paths: set[int] = set()
        reached: set[int] = set()
        waiting = list(self._touched)
        seen = set(waiting)
        while waiting:
            link = waiting.pop()
            if link in tight:
                reached.add(link)
            for path in over[link]:
                if (weights[path] or path in held_back) and path not in paths:
                    paths.add(path)
                    for other in links[path]:
                        if other not in seen and other in tight:
                            seen.add(other)
                            waiting.append(other)
        return paths, reached

    def _stop(self, tight: set[int]) -> dict[int, int]:
        """The level at which each path over these tight links stops."""
        if not tight:
            return {}
        weights, limits = self.weights, self._limits
        if len(tight) == 1:
            # By far the most frequent case, and if nobody reaches its limit a simple one.
            (link,) = tight
            all_over = [path for path in self._over[link] if weights[path]]
            level = self._capacities[link] // sum([weights[path] for path in all_over])
            if level < min([limits[path] for path in all_over]):
                return dict.fromkeys(all_over, level)
        return self._fill(tight)

    def _fill(self, tight: set[int]) -> dict[int, int]:
        """Progressive filling of the tight links. What a link bears only grows while others stop, so a heap of what
        each bore last finds the next to be full."""
        weights, links, limits, over = self.weights, self._links, self._limits, self._over
        left = {link: self._capacities[link] for link in tight}
        on = {link: [path for path in over[link] if weights[path]] for link in left}
        weight_on = {link: sum([weights[path] for path in paths]) for link, paths in on.items()}
        bears = {link: left[link] // weight for link, weight in weight_on.items()}
        heap = [(highest, link) for link, highest in bears.items()]
        heapify(heap)
        by_limit = sorted({path for paths in on.values() for path in paths}, key=limits.__getitem__, reverse=True)
        stopped: dict[int, int] = {}
        while by_limit:
            if by_limit[-1] in stopped:
                by_limit.pop()
                continue
            while heap and bears.get(heap[0][1]) != heap[0][0]:
                heappop(heap)
            level, now = limits[by_limit[-1]], list[int]()
            if not heap or level <= heap[0][0]:
                # Who is at its limit rises no more, so that the links may bear the next step of the others.
                while by_limit and limits[by_limit[-1]] == level:
                    path = by_limit.pop()
                    if path not in stopped:
                        now.append(path)
                        stopped[path] = level
            else:
                level = heap[0][0]
                while heap and heap[0][0] == level:
                    link = heappop(heap)[1]
                    if bears.get(link) == level:
                        for path in on[link]:
                            if path not in stopped:
                                now.append(path)
                                stopped[path] = level
            touched: set[int] = set()
            for path in now:
                taken = weights[path] * level
                for link in links[path]:
                    if link in left:
                        left[link] -= taken
                        weight_on[link] -= weights[path]
                        touched.add(link)
            for link in touched:
                if weight_on[link]:
                    bears[link] = left[link] // weight_on[link]
                    heappush(heap, (bears[link], link))
                else:
                    bears.pop(link, None)
        return stopped


def _check(number: int) -> None:
    if number < 0:
        raise ValueError(f"a link or a flow cannot carry {number}; give 0 or more")

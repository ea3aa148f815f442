"""Max-min fair sharing of links, in whole numbers, over groups of flows that take the same route.

All flows rise together from nothing; each stops where it reaches its limit or a link of its route is full. A flow of
weight w counts as w flows. So no flow can have more without taking from one that has no more than itself.

Rounding is a rule, so that everybody who applies it gets the same: flows rise in whole steps of 1, and before each step
every link that could not bear it stops all that still rise on it. What is left over there is less than their weight.

Why so little is looked at. A link that could bear all its flows at their limits binds nobody, whatever the others do.
Only the *tight* ones matter, and fabrics are mostly not tight. Two tight links matter to each other only if a path with
weight takes both; what hangs together in this way is solved together, everything else keeps its levels. Three cases:

- a link that is no longer tight frees its paths: each goes to its limit unless another tight link holds it;
- a tight link whose paths take no other tight link, and none of which is at its limit, is a `Group`: its level is
  `capacity // weight`, and stays one division (`regroup`) as long as only weight leaves it;
- paths over several tight links are contended: progressive filling (`_fill`), which stops at the next limit or full
  link, and finds the latter in a heap, since what a link bears only grows while others stop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(frozen=True, slots=True)
class Path:
    """A route that many flows can take: indices of its links, and the highest level of a flow on it."""

    links: tuple[int, ...]
    limit: int


class Group:
    """Paths that one link alone holds back: all stand at its `level`, below the lowest of their limits."""

    __slots__ = ("level", "link", "lowest_limit", "paths", "weight")

    def __init__(self, link: int) -> None:
        self.link = link
        self.level = 0
        self.weight = 0
        self.lowest_limit = 0
        self.paths: list[int] = []


class ShareChanges:
    """What `share_out` looked at: who is held back by nothing now, by one link alone, or by more than that.

    Those last may be at their limits, but what one of them leaves can make others faster. `dissolved`: links that had
    a group and have none any more.
    """

    __slots__ = ("contended", "dissolved", "free", "groups")

    def __init__(self) -> None:
        self.free: list[int] = []
        self.groups: list[Group] = []
        self.contended: list[int] = []
        self.dissolved: list[int] = []


class FairShares:
    """Levels of paths, by index, as weight comes and goes: weight x level is a path's rate, as `capacities` count it.

    A link that could bear all its flows at their limits binds nobody: as long as only such links are touched, a change
    costs a few additions. Otherwise `share_out` must follow, once for all changes of an instant. It looks at what hangs
    together with the links that were touched, by paths with weight over links that bind; it costs a microsecond for
    each path where one link binds alone, several where more do, however many flows there are on a path. A path without
    weight stands at its limit.
    """

    def __init__(self, capacities: Sequence[int], paths: Sequence[Path] = ()) -> None:
        for capacity in capacities:
            _check(capacity)
        self.weights: list[int] = []
        self.group_of: list[Group | None] = []
        """The group of each path; None if no link holds it back, or more than one might."""
        self._levels: list[int] = []
        self._links: list[tuple[int, ...]] = []
        self._limits: list[int] = []
        self._capacities = list(capacities)
        # What all flows over a link would take at their limits, and the links that could not bear it.
        self._wanted = [0] * len(capacities)
        self._tight: set[int] = set()
        self._touched: set[int] = set()
        # Paths with weight over each link, and the groups of links that bind alone.
        self._over: list[dict[int, None]] = [{} for _ in capacities]
        self._groups: dict[int, Group] = {}
        for path in paths:
            self.add_path(path)

    def add_path(self, path: Path) -> int:
        """A new path, without weight, by its index."""
        _check(path.limit)
        index = len(self.weights)
        self._levels.append(path.limit)
        self.weights.append(0)
        self.group_of.append(None)
        self._links.append(path.links)
        self._limits.append(path.limit)
        return index

    @property
    def is_tight(self) -> bool:
        """Whether any flow may have to do with less than its limit."""
        return bool(self._tight)

    def level(self, path: int) -> int:
        """The level of a flow on this path: what it has of each of its links."""
        group = self.group_of[path]
        return self._levels[path] if group is None else group.level

    def has_flows(self, link: int) -> bool:
        """Whether any weight is on a link."""
        return bool(self._over[link])

    def add(self, path: int, weight: int) -> bool:
        """Put weight on a path, or take it away if negative; returns whether `share_out` has to find levels anew."""
        before, links = self.weights[path], self._links[path]
        now = self.weights[path] = before + weight
        if not before:
            for link in links:
                self._over[link][path] = None
        elif not now:
            for link in links:
                del self._over[link][path]
            self.group_of[path] = None
            self._levels[path] = self._limits[path]
        wanted, capacities, tight = self._wanted, self._capacities, self._tight
        more = weight * self._limits[path]
        is_touched = False
        for link in links:
            on_link = wanted[link] = wanted[link] + more
            if on_link > capacities[link]:
                tight.add(link)
                self._touched.add(link)
                is_touched = True
            elif tight and link in tight:
                tight.remove(link)
                self._touched.add(link)
                is_touched = True
        return is_touched

    def leave(self, group: Group, path: int, weight: int) -> None:
        """Take away weight of a path in a group; `regroup` must follow, once for all that leaves at an instant."""
        group.weight -= weight
        self.add(path, -weight)

    def regroup(self, group: Group) -> bool:
        """Find the level of a group that weight has left; returns False if `share_out` must, as other links may bind
        now, or none. Nothing else may have changed since the last `share_out`."""
        link = group.link
        if link not in self._tight:
            return False
        level = self._capacities[link] // group.weight
        if level >= group.lowest_limit:
            return False
        group.level = level
        self._touched.clear()
        return True

    def set_capacity(self, link: int, capacity: int) -> None:
        """What a link carries has changed; `share_out` finds the levels anew."""
        _check(capacity)
        self._capacities[link] = capacity
        if not self._over[link]:  # nobody has a level there
            return
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
        if not self.weights[path]:
            self._levels[path] = limit
            return
        for link in self._links[path]:
            self._wanted[link] += more
            self.set_capacity(link, self._capacities[link])

    def share_out(self) -> ShareChanges:
        """Find the levels of all paths that what was touched can matter to."""
        changes = ShareChanges()
        seen: set[int] = set()
        touched = sorted(self._touched) if len(self._touched) > 1 else list(self._touched)
        self._touched.clear()
        for link in touched:
            if link not in seen:
                seen.add(link)
                if link in self._tight:
                    self._share_tight(link, seen, changes)
                else:
                    self._share_loose(link, seen, changes)
        return changes

    def _share_loose(self, link: int, seen: set[int], changes: ShareChanges) -> None:
        """A link that binds nobody any more: whom no other holds back either goes to its limit."""
        tight = self._tight
        self._dissolve(link, changes)
        for path in self._over[link]:
            held_by = [other for other in self._links[path] if other in tight]
            if not held_by:
                self.group_of[path] = None
                self._levels[path] = self._limits[path]
                changes.free.append(path)
            elif held_by[0] not in seen:
                seen.add(held_by[0])
                self._share_tight(held_by[0], seen, changes)

    def _share_tight(self, link: int, seen: set[int], changes: ShareChanges) -> None:
        """All that hangs together with a link that binds."""
        links, over, tight = self._links, self._over, self._tight
        together = [link]
        paths: dict[int, None] = dict.fromkeys(over[link])
        for path in over[link]:
            for other in links[path]:
                if other in tight and other not in seen:
                    seen.add(other)
                    together.append(other)
        if len(together) == 1 or all(over[other].keys() == paths.keys() for other in together):
            # Of links with the same paths the narrowest alone holds them back.
            narrowest = min(together, key=self._capacities.__getitem__)
            if self._is_group(narrowest, list(paths), changes):
                for other in together:
                    if other != narrowest:
                        self._dissolve(other, changes)
                return
        for link in together:  # it grows while others are found
            for path in over[link]:
                if path not in paths:
                    paths[path] = None
                    for other in links[path]:
                        if other in tight and other not in seen:
                            seen.add(other)
                            together.append(other)
        self._share_contended(together, paths, changes)

    def _is_group(self, link: int, paths: list[int], changes: ShareChanges) -> bool:
        """Whether a link holds all of these back before any is at its limit; then they are a group from now on."""
        limits, weights = self._limits, self.weights
        lowest_limit, weight = min([limits[path] for path in paths]), sum([weights[path] for path in paths])
        level = self._capacities[link] // weight
        if level >= lowest_limit:
            return False
        group = self._groups.get(link)
        if group is None:
            group = self._groups[link] = Group(link)
        group.level, group.lowest_limit, group.weight, group.paths = level, lowest_limit, weight, paths
        group_of = self.group_of
        for path in paths:
            group_of[path] = group
        changes.groups.append(group)
        return True

    def _share_contended(self, together: list[int], paths: Iterable[int], changes: ShareChanges) -> None:
        for link in together:
            self._dissolve(link, changes)
        stopped = self._fill(together)
        for path in sorted(paths):
            self.group_of[path] = None
            self._levels[path] = stopped[path]
            changes.contended.append(path)

    def _dissolve(self, link: int, changes: ShareChanges) -> None:
        if self._groups.pop(link, None) is not None:
            changes.dissolved.append(link)

    def _fill(self, tight: Iterable[int]) -> dict[int, int]:
        """Progressive filling of links that bind. What a link bears only grows while others stop, so a heap of what
        each bore last finds the next to be full."""
        weights, links, limits = self.weights, self._links, self._limits
        left = {link: self._capacities[link] for link in tight}
        on = {link: list(self._over[link]) for link in left}
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
            level = limits[by_limit[-1]]
            now: list[int] = []
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

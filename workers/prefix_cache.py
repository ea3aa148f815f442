"""A store of prefix KV blocks: a radix tree over runs of blocks with an exact least-recently-used order.

A run is a stretch of consecutive blocks of a chain that were always used together; it is split where a use ends inside
it. All runs on the path of one use get the same stamp, and only leaves can go, so the order of eviction is that of
single blocks touched deepest first: oldest use first, within it a child before its parent.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

_HEAP_SLACK: Final = 1024
"""Stale heap entries tolerated before the heap is rebuilt."""


class _Run:
    """Consecutive blocks of one chain. `pins` counts look-ups that rely on all of them, and so on all before them."""

    __slots__ = ("blocks", "children", "last_use", "parent", "pins")

    def __init__(self, blocks: list[int], parent: _Run | None, last_use: int) -> None:
        self.blocks = blocks
        self.parent = parent
        self.last_use = last_use
        self.children: dict[int, _Run] = {}
        self.pins = 0


class PrefixCache:
    """Blocks present = `num_blocks` <= `capacity_blocks`; pinned blocks are never evicted (INV-4).

    A chain is known by its namespace and the ids of its blocks; equal ids mean equal blocks with equal prefixes.
    """

    def __init__(self, capacity_blocks: int, block_tokens: int) -> None:
        self.capacity_blocks = capacity_blocks
        self.block_tokens = block_tokens
        self.num_blocks = 0
        self.num_evicted = 0
        self._num_uses = 0
        self._num_runs = 0
        self._roots: dict[int, _Run] = {}
        # Leaves by last use. An entry is stale when its run was used since, got children, was pinned or is gone.
        self._leaves: list[tuple[int, int, _Run]] = []
        self._open: dict[int, tuple[_Run, list[int], int]] = {}

    def look_up(self, request_id: int, blocks: list[int], namespace: int) -> int:
        """Leading blocks that are present; they are touched, and pinned until `store` or `release`."""
        run, found = self._walk(namespace, blocks)
        if found:
            run.pins += 1
            self._touch(run)
        self._open[request_id] = (run, blocks, namespace)
        return found

    def release(self, request_id: int) -> None:
        """The blocks that a look-up pinned may go."""
        self._unpin(self._open.pop(request_id)[0])

    def store(self, request_id: int) -> None:
        """The request's chain exists now: add what is missing, most recent of all, as far as room can be made."""
        pinned, blocks, namespace = self._open.pop(request_id)
        run, found = self._walk(namespace, blocks)
        # The prompt's own blocks may not be evicted to make room for their children.
        run.pins += 1
        self._unpin(pinned)
        missing = blocks[found:]
        room = self._make_room(len(missing))
        run.pins -= 1
        if room:
            child = _Run(missing[:room], run, self._num_uses)
            run.children[missing[0]] = child
            self.num_blocks += room
            self._num_runs += 1
            run = child
        self._touch(run)

    def _unpin(self, run: _Run) -> None:
        if run.parent is not None:  # the root stands for "nothing found" and is never pinned
            run.pins -= 1
            self._offer(run)

    def _walk(self, namespace: int, blocks: list[int]) -> tuple[_Run, int]:
        """The deepest run that is wholly part of the chain, split off if need be, and the blocks present up to it."""
        run = self._roots.get(namespace)
        if run is None:
            run = self._roots[namespace] = _Run([], None, 0)
        found, wanted = 0, len(blocks)
        while found < wanted:
            child = run.children.get(blocks[found])
            if child is None:
                break
            end = found + len(child.blocks)
            if child.blocks != blocks[found:end]:
                shared = _common_length(child.blocks, blocks[found:end])
                return self._split(child, shared), found + shared
            run, found = child, end
        return run, found

    def _split(self, run: _Run, length: int) -> _Run:
        """Cut a run after `length` blocks; answers the new upper part.

        The lower part stays the same object, so that pins on it go on protecting all of what they protected.
        """
        parent = run.parent
        assert parent is not None
        upper = _Run(run.blocks[:length], parent, run.last_use)
        parent.children[upper.blocks[0]] = upper
        run.blocks = run.blocks[length:]
        run.parent = upper
        upper.children[run.blocks[0]] = run
        self._num_runs += 1
        return upper

    def _touch(self, run: _Run) -> None:
        """Everything from this run up to the root was used now."""
        self._num_uses += 1
        ancestor = run
        while ancestor.parent is not None:
            ancestor.last_use = self._num_uses
            ancestor = ancestor.parent
        self._offer(run)

    def _offer(self, run: _Run) -> None:
        """Note a run that may be evicted, if it may."""
        if run.pins or run.children or run.parent is None:
            return
        heappush(self._leaves, (run.last_use, id(run), run))
        if len(self._leaves) > 2 * self._num_runs + _HEAP_SLACK:
            live = {id(entry[2]): entry for entry in self._leaves if _is_evictable(entry)}
            self._leaves = list(live.values())
            heapify(self._leaves)

    def _make_room(self, wanted: int) -> int:
        """Evict until `wanted` blocks fit; answers how many of them do."""
        lacking = self.num_blocks + wanted - self.capacity_blocks
        leaves = self._leaves
        while lacking > 0:
            while leaves and not _is_evictable(leaves[0]):
                heappop(leaves)
            if not leaves:
                return max(0, wanted - lacking)
            lacking -= self._trim(leaves[0][2], lacking)
        return wanted

    def _trim(self, leaf: _Run, wanted: int) -> int:
        """Evict up to `wanted` blocks from the tail of a leaf; answers how many went."""
        length = len(leaf.blocks)
        if wanted < length:
            del leaf.blocks[length - wanted :]
            evicted = wanted
        else:
            evicted = length
            parent = leaf.parent
            assert parent is not None
            del parent.children[leaf.blocks[0]]
            leaf.parent = None
            self._num_runs -= 1
            self._offer(parent)
        self.num_blocks -= evicted
        self.num_evicted += evicted
        return evicted


def _is_evictable(entry: tuple[int, int, _Run]) -> bool:
    last_use, _, run = entry
    return run.last_use == last_use and not run.pins and not run.children and run.parent is not None


def _common_length(left: list[int], right: list[int]) -> int:
    """Leading entries that two lists share."""
    for index, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine != theirs:
            return index
    return min(len(left), len(right))

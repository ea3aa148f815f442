"""Chains of blocks as a radix tree over runs, with an exact least-recently-used order of single blocks.

A run is a stretch of consecutive blocks of a chain that were always used together; it is split where a use ends inside
it. All runs on the path of one use get the same stamp, and only leaves can go, so the order of eviction is that of
single blocks used deepest first: oldest use first, within it a child before its parent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from workers.cache.account import Account


class Run:
    """Consecutive blocks of one chain. `pins` counts look-ups that rely on all of them, and so on all before them.

    The last block takes `saved_tokens` less than a whole one. `is_offered`: it has an entry among those that may go.
    """

    __slots__ = ("blocks", "children", "is_offered", "last_use", "parent", "pins", "saved_tokens")

    def __init__(self, blocks: list[int], parent: Run | None, last_use: int, saved_tokens: int = 0) -> None:
        self.blocks = blocks
        self.parent = parent
        self.last_use = last_use
        self.saved_tokens = saved_tokens
        self.children: dict[int, Run] = {}
        self.pins = 0
        self.is_offered = False


class RunTree:
    """What all blocks take, `used_tokens`, is at most `capacity_tokens` after each store (INV-4); pinned blocks stay.

    A chain is known by its tenant and the ids of its blocks; equal ids mean equal blocks with equal prefixes.
    """

    def __init__(self, capacity_tokens: int, block_tokens: int, account: Account) -> None:
        self.used_tokens = 0
        self._capacity_tokens: Final = capacity_tokens
        self._block_tokens: Final = block_tokens
        self._account: Final = account
        self._roots: dict[int, Run] = {}
        # Runs by a use that was their last when they were offered; those used since are put back with a later one. Who
        # is offered at its use comes after all before it; a heap has those that are offered later, which are few.
        self._fresh: deque[tuple[int, Run]] = deque()
        self._aged: list[tuple[int, int, Run]] = []

    def look_up(self, tenant: int, blocks: list[int]) -> tuple[Run, int]:
        """Leading blocks that are here, and the run in which they end: they are pinned until `store` or `release`."""
        run = self._roots.get(tenant)
        if run is None:
            run = self._roots[tenant] = Run([], None, 0)
        run, found = _walk(run, 0, blocks)
        run.pins += 1
        return run, found

    def extend(self, run: Run, found: int, blocks: list[int]) -> tuple[Run, int]:
        """The look-up that returned `run` and `found`, once more: what is here now is pinned instead."""
        run.pins -= 1
        run, found = _walk(run, found, blocks)
        run.pins += 1
        return run, found

    def store(self, run: Run, found: int, blocks: list[int], saved_tokens: int, stamp: int) -> int:
        """The look-up that returned `run` and `found` is over; all blocks are here and used now, as far as they fit.

        The last of them takes so much less than a whole block. Returns how many were not here before. Stamps rise from
        use to use.
        """
        run.pins -= 1
        if found < len(blocks):
            run, found = _walk(run, found, blocks)
        num_new = len(blocks) - found
        if num_new:
            run = Run(blocks[found:], run, stamp, saved_tokens)
            assert run.parent is not None
            run.parent.children[blocks[found]] = run
            self.used_tokens += num_new * self._block_tokens - saved_tokens
        self._touch(run, stamp)
        if self.used_tokens > self._capacity_tokens:
            self._shrink(stamp)
        return num_new

    def release(self, run: Run, stamp: int) -> None:
        """The look-up that found blocks up to here is over; they were used until now."""
        run.pins -= 1
        self._touch(run, stamp)

    def by_use(self) -> Iterator[tuple[int, int, list[int], int]]:
        """(tenant, stamp, blocks, tokens that the last block takes less), the least recently used run first."""
        found: list[tuple[int, int, int, Run]] = []
        for tenant, root in self._roots.items():
            stack = [(child, 1) for child in root.children.values()]
            while stack:
                run, depth = stack.pop()
                found.append((run.last_use, -depth, tenant, run))
                stack += [(child, depth + 1) for child in run.children.values()]
        for last_use, _, tenant, run in sorted(found, key=lambda entry: entry[:2]):
            yield tenant, last_use, run.blocks, run.saved_tokens

    def _touch(self, run: Run, stamp: int) -> None:
        """Everything from this run up to the root was used now."""
        if not (run.is_offered or run.children) and run.parent is not None:
            run.is_offered = True
            self._fresh.append((stamp, run))
        ancestor = run
        while ancestor.parent is not None:
            ancestor.last_use = stamp
            ancestor = ancestor.parent

    def _shrink(self, stamp: int) -> None:
        """Evict the least recently used blocks without a pin until the others fit."""
        fresh, aged = self._fresh, self._aged
        while (excess := self.used_tokens - self._capacity_tokens) > 0:
            is_aged = bool(aged) and (not fresh or aged[0][0] < fresh[0][0])
            last_use, run = (aged[0][0], aged[0][2]) if is_aged else fresh[0]
            is_free = not (run.pins or run.children)
            if is_free and run.last_use == last_use and not self._trim(run, excess, stamp):
                return
            if is_aged:
                heappop(aged)
            else:
                fresh.popleft()
            if not is_free:
                # It is offered again when its last child goes, or when it is used: that is, when its last pin goes.
                run.is_offered = False
            elif run.last_use == last_use:
                self._remove(run)
            else:
                heappush(aged, (run.last_use, id(run), run))

    def _trim(self, leaf: Run, excess_tokens: int, stamp: int) -> bool:
        """Evict so much from the tail of a leaf, or all of it; returns whether nothing is left of it."""
        blocks, whole = leaf.blocks, self._block_tokens
        wanted = -(-(excess_tokens + leaf.saved_tokens) // whole)
        is_gone = wanted >= len(blocks)
        num_evicted = len(blocks) if is_gone else wanted
        self.used_tokens -= num_evicted * whole - leaf.saved_tokens
        self._account.note_evicted(num_evicted, leaf.last_use, stamp, is_dram=True)
        if not is_gone:
            leaf.saved_tokens = 0
            del blocks[len(blocks) - wanted :]
        return is_gone

    def _remove(self, leaf: Run) -> None:
        """Nothing is left of a leaf; its parent may be evicted if it was the last child."""
        parent = leaf.parent
        assert parent is not None
        del parent.children[leaf.blocks[0]]
        if not (parent.children or parent.is_offered or parent.pins) and parent.parent is not None:
            parent.is_offered = True
            heappush(self._aged, (parent.last_use, id(parent), parent))


def _walk(run: Run, found: int, blocks: list[int]) -> tuple[Run, int]:
    """The deepest run that is wholly part of the chain, split off if need be, and the blocks present up to it.

    Begins at a run that is part of the chain, with the blocks up to it.
    """
    wanted = len(blocks)
    while found < wanted:
        child = run.children.get(blocks[found])
        if child is None:
            break
        end = found + len(child.blocks)
        if child.blocks != blocks[found:end]:
            shared = _common_length(child.blocks, blocks[found:end])
            return _split(child, shared), found + shared
        run, found = child, end
    return run, found


def _split(run: Run, length: int) -> Run:
    """Cut a run after `length` blocks; returns the new upper part.

    The lower part stays the same object, so that pins on it go on protecting all of what they protected.
    """
    parent = run.parent
    assert parent is not None
    upper = Run(run.blocks[:length], parent, run.last_use)
    parent.children[upper.blocks[0]] = upper
    run.blocks = run.blocks[length:]
    run.parent = upper
    upper.children[run.blocks[0]] = run
    return upper


def _common_length(left: list[int], right: list[int]) -> int:
    """Leading entries that two lists share."""
    for index, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine != theirs:
            return index
    return min(len(left), len(right))

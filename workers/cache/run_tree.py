"""Chains of blocks as a radix tree over runs: all that was ever stored, when none of it had to go.

A run is a stretch of consecutive blocks of a chain that were always used together; it is split where a use ends inside
it. All runs on the path of one use get the same stamp, from which the order of use of single blocks follows: oldest use
first, within a use a child before its parent.
"""

from __future__ import annotations

from collections.abc import Iterator


class Run:
    """Consecutive blocks of one chain."""

    __slots__ = ("blocks", "children", "last_use", "parent")

    def __init__(self, blocks: list[int], parent: Run | None, last_use: int) -> None:
        self.blocks = blocks
        self.parent = parent
        self.last_use = last_use
        self.children: dict[int, Run] = {}


class RunTree:
    """A chain is known by its namespace and the ids of its blocks; equal ids mean equal blocks with equal prefixes."""

    def __init__(self) -> None:
        self.num_blocks = 0
        self._roots: dict[int, Run] = {}

    def look_up(self, namespace: int, blocks: list[int]) -> tuple[Run, int]:
        """Leading blocks that are here, and the run in which they end: nothing goes, so it always will."""
        run = self._roots.get(namespace)
        if run is None:
            run = self._roots[namespace] = Run([], None, 0)
        return _walk(run, 0, blocks)

    def store(self, run: Run, found: int, blocks: list[int], stamp: int) -> list[int]:
        """All of these are here now and were used now, after a look-up with that answer; answers those that were not
        here before: the last ones. Stamps rise from use to use."""
        run, found = _walk(run, found, blocks)
        missing = blocks[found:]
        if missing:
            child = Run(missing, run, stamp)
            run.children[missing[0]] = child
            self.num_blocks += len(missing)
        touch(run, stamp)
        return missing

    def by_use(self) -> Iterator[tuple[int, int, list[int]]]:
        """(namespace, stamp, blocks), the least recently used block first."""
        found: list[tuple[int, int, int, list[int]]] = []
        for namespace, root in self._roots.items():
            stack = [(child, 1) for child in root.children.values()]
            while stack:
                run, depth = stack.pop()
                found.append((run.last_use, -depth, namespace, run.blocks))
                stack += [(child, depth + 1) for child in run.children.values()]
        for last_use, _, namespace, blocks in sorted(found, key=lambda run: run[:2]):
            yield namespace, last_use, blocks[::-1]


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
    """Cut a run after `length` blocks; answers the new upper part. No list of blocks is changed: others hold them."""
    parent = run.parent
    assert parent is not None
    upper = Run(run.blocks[:length], parent, run.last_use)
    parent.children[upper.blocks[0]] = upper
    run.blocks = run.blocks[length:]
    run.parent = upper
    upper.children[run.blocks[0]] = run
    return upper


def touch(run: Run, stamp: int) -> None:
    """Everything from this run up to the root was used now."""
    while run.parent is not None:
        run.last_use = stamp
        run = run.parent


def _common_length(left: list[int], right: list[int]) -> int:
    """Leading entries that two lists share."""
    for index, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine != theirs:
            return index
    return min(len(left), len(right))

"""A `RunTree` that tells what comes and what goes: for who keeps an index of a cache from outside.

A store that nobody listens to has the plain tree, and pays nothing.
"""

from __future__ import annotations

from typing import Final, Protocol

from workers.cache.account import Account
from workers.cache.run_tree import Run, RunTree


class StoreListener(Protocol):
    """Who is told of the blocks of a store, by tenant and id. After all that was told it knows what is there."""

    def stored(self, tenant: int, blocks: list[int], num_known: int) -> None:
        """A chain is here now; its first `num_known` blocks were here before."""
        ...

    def removed(self, tenant: int, blocks: list[int]) -> None:
        """These consecutive blocks of a chain are gone, its last among them."""
        ...

    def cleared(self) -> None:
        """Nothing is here."""
        ...


class HeardRunTree(RunTree):
    """Blocks that a store evicts are told of after those that it took, so that one which does not fit ends as gone."""

    def __init__(self, capacity_tokens: int, block_tokens: int, account: Account, listener: StoreListener) -> None:
        super().__init__(capacity_tokens, block_tokens, account)
        self._listener: Final = listener
        self._tenants: dict[Run, int] = {}
        self._removed: list[tuple[int, list[int]]] = []

    def look_up(self, tenant: int, blocks: list[int]) -> tuple[Run, int]:
        """As of any tree; it remembers whose chains begin where."""
        found = super().look_up(tenant, blocks)
        self._tenants[self._roots[tenant]] = tenant
        return found

    def store(self, run: Run, found: int, blocks: list[int], saved_tokens: int, stamp: int) -> int:
        """As of any tree, and told."""
        tenant = self._tenant_of(run)
        num_new = super().store(run, found, blocks, saved_tokens, stamp)
        if num_new:
            self._listener.stored(tenant, blocks, len(blocks) - num_new)
        removed, self._removed = self._removed, []
        for owner, gone in removed:
            self._listener.removed(owner, gone)
        return num_new

    def _trim(self, leaf: Run, excess_tokens: int, stamp: int) -> bool:
        before, tenant = list(leaf.blocks), self._tenant_of(leaf)
        is_gone = super()._trim(leaf, excess_tokens, stamp)
        self._removed.append((tenant, before if is_gone else before[len(leaf.blocks) :]))
        return is_gone

    def _tenant_of(self, run: Run) -> int:
        while run.parent is not None:
            run = run.parent
        return self._tenants[run]

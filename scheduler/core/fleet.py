"""What the control plane knows about the instances it commands."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.shared_loads import Loads, no_loads


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance as it registered: its address, its size and the longest sequence its KV memory can hold.

    `pool`: the index of the cache pool that it reads and writes. `kv_capacity_tokens`: KV of all its dies together;
    `cache_blocks`: size of its own prefix cache; `pass_tokens`: prompt tokens that it computes at most in one pass; 0
    if not told.
    """

    address: str
    num_npus: int
    max_sequence_tokens: int
    pool: int = 0
    kv_capacity_tokens: int = 0
    cache_blocks: int = 0
    pass_tokens: int = 0


class Stage:
    """The instances of one stage, as columns by instance index.

    `outstanding_requests` and `outstanding_tokens` count what the core has sent and not yet seen leave. For prefill a
    token is an uncached prompt token; for decode it is a token of KV; an aggregated instance is of both stages, and has
    both in both. Policies read this through `router`.
    `up` are the indices of the instances that are there, `eligible` those of them that the fabric reaches and that are
    neither parked nor drained; sizes count all instances, whether they are up or not. `cut_dies` are dies that it does
    not reach, of instances of which it reaches others.
    """

    def __init__(self, instances: Sequence[InstanceInfo], loads: Loads | None = None) -> None:
        self.addresses: Final = [instance.address for instance in instances]
        self.index: Final = {address: index for index, address in enumerate(self.addresses)}
        self.up = list(range(len(instances)))
        self.eligible = list(self.up)
        self.cut_dies: dict[int, list[int]] = {}
        self._cut: frozenset[int] = frozenset()
        self._parked: frozenset[int] = frozenset()
        self._drained: frozenset[int] = frozenset()
        loads = loads or no_loads(len(instances))
        self.outstanding_requests: Final = loads.requests
        self.outstanding_tokens: Final = loads.tokens
        self.instances: Final = instances
        self.capacity_tokens: Final = [instance.max_sequence_tokens for instance in instances]
        """Longest sequence that each instance can hold."""
        self.pool: Final = [instance.pool for instance in instances]
        self.max_sequence_tokens: Final = min(self.capacity_tokens, default=0)
        """Longest sequence that any instance can hold."""

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def roomiest(self) -> int:
        """Which of those that are eligible holds the longest sequences, the lowest index on a tie."""
        return max(self.eligible, key=self.capacity_tokens.__getitem__)

    def is_cut(self, index: int) -> bool:
        """Whether the fabric does not reach an instance."""
        return index in self._cut

    def is_reached(self, index: int, die: int) -> bool:
        """Whether the fabric reaches a die of an instance."""
        return index not in self._cut and die not in self.cut_dies.get(index, ())

    def set_cut(self, addresses: Collection[str]) -> None:
        """The fabric reaches none of these, and all others."""
        self._cut = frozenset(self.index[address] for address in addresses if address in self.index)
        self._find_eligible()

    def _find_eligible(self) -> None:
        out = self._cut | self._parked | self._drained
        self.eligible = [index for index in self.up if index not in out]

    def park(self, index: int) -> None:
        """It gets no work until `unpark`."""
        self._parked |= {index}
        self._find_eligible()

    def unpark(self, index: int) -> None:
        """It takes work again."""
        self._parked -= {index}
        self._find_eligible()

    def drain(self, index: int) -> None:
        """It gets no work until it was lost and is back, or until `undrain`."""
        if index not in self._drained:
            self._drained |= {index}
            self._find_eligible()

    def undrain(self, index: int) -> None:
        """It takes work again."""
        self._drained -= {index}
        self._find_eligible()

    def take_down(self, addresses: Collection[str]) -> frozenset[int]:
        """These are lost, with all that they had to do; returns the indices of those that are of this stage."""
        lost = frozenset(self.index[address] for address in addresses if address in self.index)
        self.up = [index for index in self.up if index not in lost]
        self._parked -= lost
        self._drained -= lost
        self._find_eligible()
        for index in lost:
            self.outstanding_requests[index] = self.outstanding_tokens[index] = 0
        return lost

    def bring_up(self, addresses: Collection[str]) -> None:
        """These are back, with nothing to do."""
        back = {self.index[address] for address in addresses if address in self.index}
        self.up = sorted(back.union(self.up))
        self._find_eligible()

    def remove(self, index: int, num_requests: int, num_tokens: int) -> None:
        """Work left an instance."""
        self.outstanding_requests[index] -= num_requests
        self.outstanding_tokens[index] -= num_tokens

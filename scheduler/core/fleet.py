"""What the control plane knows about the instances it commands."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance as it registered: its address, its size and the longest sequence its KV memory can hold.

    `kv_capacity_tokens`: KV of all its dies together; `cache_blocks`: size of its own prefix cache; 0 if not told.
    """

    address: str
    num_npus: int
    max_sequence_tokens: int
    kv_capacity_tokens: int = 0
    cache_blocks: int = 0


class Stage:
    """The instances of one stage, as columns by instance index.

    `outstanding_requests` and `outstanding_tokens` count what the core has sent and not yet seen leave. For prefill a
    token is an uncached prompt token; for decode it is a token of KV. Policies read this through `router`.
    `up` are the indices of the instances that are there; sizes count all instances, whether they are up or not.
    """

    def __init__(self, instances: list[InstanceInfo]) -> None:
        self.addresses: Final = [instance.address for instance in instances]
        self.index: Final = {address: index for index, address in enumerate(self.addresses)}
        self.up = list(range(len(instances)))
        self.outstanding_requests: Final = [0] * len(instances)
        self.outstanding_tokens: Final = [0] * len(instances)
        self.instances: Final = instances
        self.capacity_tokens: Final = [instance.max_sequence_tokens for instance in instances]
        """Longest sequence that each instance can hold."""
        self.max_sequence_tokens: Final = min(self.capacity_tokens, default=0)
        """Longest sequence that any instance can hold."""

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def roomiest(self) -> int:
        """Which of those that are up holds the longest sequences, the lowest index on a tie."""
        return max(self.up, key=self.capacity_tokens.__getitem__)

    def take_down(self, addresses: Collection[str]) -> frozenset[int]:
        """These are lost, with all that they had to do; answers the indices of those that are of this stage."""
        lost = frozenset(self.index[address] for address in addresses if address in self.index)
        self.up = [index for index in self.up if index not in lost]
        for index in lost:
            self.outstanding_requests[index] = self.outstanding_tokens[index] = 0
        return lost

    def bring_up(self, addresses: Collection[str]) -> None:
        """These are back, with nothing to do."""
        back = {self.index[address] for address in addresses if address in self.index}
        self.up = sorted(back.union(self.up))

    def remove(self, index: int, num_requests: int, num_tokens: int) -> None:
        """Work left an instance."""
        self.outstanding_requests[index] -= num_requests
        self.outstanding_tokens[index] -= num_tokens

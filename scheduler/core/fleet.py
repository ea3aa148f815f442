"""What the control plane knows about the instances it commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class InstanceInfo:
    """An instance as it registered: its address, its size and the longest sequence its KV memory can hold."""

    address: str
    num_npus: int
    max_sequence_tokens: int


class Stage:
    """The instances of one stage, as columns by instance index.

    `outstanding_requests` and `outstanding_tokens` count what the core has sent and not yet seen leave. For prefill a
    token is an uncached prompt token; for decode it is a token of KV. Policies read this through `policies.view`.
    """

    def __init__(self, instances: list[InstanceInfo]) -> None:
        self.addresses: Final = [instance.address for instance in instances]
        self.index: Final = {address: index for index, address in enumerate(self.addresses)}
        self.outstanding_requests: Final = [0] * len(instances)
        self.outstanding_tokens: Final = [0] * len(instances)
        self.capacity_tokens: Final = [instance.max_sequence_tokens for instance in instances]
        """Longest sequence that each instance can hold."""
        self.max_sequence_tokens: Final = min(self.capacity_tokens, default=0)
        """Longest sequence that any instance can hold."""
        self.roomiest: Final = max(range(len(instances)), key=self.capacity_tokens.__getitem__, default=0)

    def __len__(self) -> int:
        return len(self.addresses)

    def remove(self, index: int, num_requests: int, num_tokens: int) -> None:
        """Work left an instance."""
        self.outstanding_requests[index] -= num_requests
        self.outstanding_tokens[index] -= num_tokens

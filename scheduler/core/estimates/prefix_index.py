"""What each instance's own cache is thought to hold, from what was routed to it.

Nobody reports what caches hold, so this is the approximate index that SGLang's gateway and Dynamo without events keep:
a prompt that was sent to an instance is held there until as many other blocks as the instance can hold were sent there.
A bit mask per block says which instances hold it, so one walk along a prompt answers for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final


class PrefixIndex:
    """Blocks by (tenant, id), least recently used per instance; `capacities` are blocks by instance.

    As in the caches themselves a use touches a prompt's deepest block first, so that a child goes before its parent.
    """

    def __init__(self, capacities: Sequence[int]) -> None:
        self._capacities: Final = tuple(capacities)
        self._masks: dict[int, int] = {}
        # Blocks of each instance, least recently used first.
        self._held: Final[list[dict[int, None]]] = [{} for _ in capacities]
        self.sizes: Final = [0] * len(capacities)
        """Blocks that each instance holds."""

    @property
    def num_blocks(self) -> int:
        """Different blocks that anybody holds."""
        return len(self._masks)

    def match(self, tenant: int, blocks: Sequence[int]) -> list[int]:
        """Leading blocks that each instance holds. Cost grows with the longest match and with those that hold any."""
        matched = [0] * len(self._held)
        masks, offset = self._masks, tenant << 64
        alive = (1 << len(self._held)) - 1
        depth = 0
        for block in blocks:
            here = alive & masks.get(block + offset, 0)
            if here != alive:
                if depth:
                    _note(matched, alive & ~here, depth)
                alive = here
                if not alive:
                    return matched
            depth += 1
        _note(matched, alive, depth)
        return matched

    def add(self, instance: int, tenant: int, blocks: Sequence[int]) -> None:
        """The instance was sent this prompt: it will hold its leading blocks, as many as it can."""
        held, masks, offset = self._held[instance], self._masks, tenant << 64
        capacity = self._capacities[instance]
        bit = 1 << instance
        for block in reversed(blocks[:capacity]):
            key = block + offset
            if key in held:
                del held[key]
            else:
                masks[key] = masks.get(key, 0) | bit
            held[key] = None
        for _ in range(len(held) - capacity):
            oldest = next(iter(held))
            del held[oldest]
            self._drop(oldest, bit)
        self.sizes[instance] = len(held)

    def forget(self, instance: int) -> None:
        """The instance was lost, with its cache."""
        held, bit = self._held[instance], 1 << instance
        for key in held:
            self._drop(key, bit)
        held.clear()
        self.sizes[instance] = 0

    def _drop(self, key: int, bit: int) -> None:
        left = self._masks[key] & ~bit
        if left:
            self._masks[key] = left
        else:
            del self._masks[key]


def _note(matched: list[int], instances: int, depth: int) -> None:
    """These match so far and no further."""
    while instances:
        lowest = instances & -instances
        matched[lowest.bit_length() - 1] = depth
        instances ^= lowest

"""KV blocks and sequence slots of a decode instance's dies, and the queue of those who wait for room.

Why room is admitted with head-room. Nobody knows how long an output will be. Room for the longest possible one would
leave most of the memory unused; room for the prompt alone would let a die fill up to its last block, and at the next
block boundary of any of its sequences the youngest would have to leave: usually the one that has just come, whose
prefill and KV transfer were then for nothing, and which comes again. So a reservation takes the prompt and one growth
extent. The extent is what keeps a newcomer from being preempted at once, and it makes growth rare: one event for
`extent_blocks` blocks of tokens, not one for every block.

Why room is taken when it is asked for, not when the sequence starts. KV of a request flows while its prefill pass
still runs, to the die on which it will be decoded: what flows must have a place when it arrives. A request that holds
room at prefill and could not get any at decode would otherwise hold up both stages.

Why the emptiest die. Dies step in lockstep, at the pace of the slowest, and each preempts for itself: equal KV makes
steps short and preemption late. Why first come, first served, with the first that does not fit holding back all behind
it: small requests that overtake would keep a long one waiting as long as they come.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

import numpy as np

from sim_hw.instance.kv_room import KV_BLOCK_TOKENS

_NO_SLOT: Final = -1


class DecodeMemory:
    """Blocks referenced + free = total on every die (INV-4).

    A reservation goes to the die with the most free blocks among those with a free slot, the lowest index on a tie.
    Whoever waits is served first come, first served: the first that does not fit holds back those behind it. Dies that
    are avoided get no new reservations.
    """

    def __init__(self, num_dies: int, blocks_per_die: int, slots_per_die: int, extent_blocks: int) -> None:
        self.num_dies = num_dies
        self.blocks_per_die = blocks_per_die
        self.extent_blocks = extent_blocks
        self.free_blocks = [blocks_per_die] * num_dies
        self.free_slots = [slots_per_die] * num_dies
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._placed: dict[int, tuple[int, int, int]] = {}
        self._is_open = [True] * num_dies
        # Free blocks where a slot is free and the die open, else _NO_SLOT: one argmax finds the die. The memory view
        # writes plain ints.
        self._rank = np.full(num_dies, blocks_per_die, dtype=np.int64)
        self._rank_view = memoryview(self._rank.data)

    @property
    def num_waiting(self) -> int:
        """Reservations that have no room yet."""
        return len(self._waiting)

    def is_empty(self) -> bool:
        """Whether nobody has room and nobody waits for any."""
        return not self._waiting and all(free == self.blocks_per_die for free in self.free_blocks)

    def ask(self, request_ids: Iterable[int], kv_tokens: Iterable[int]) -> None:
        """Queue reservations; `serve` grants them."""
        extent, most, waiting = self.extent_blocks, self.blocks_per_die, self._waiting
        for request_id, tokens in zip(request_ids, kv_tokens):
            blocks = -(-tokens // KV_BLOCK_TOKENS) + extent
            waiting.append((request_id, tokens, blocks if blocks < most else most))

    def avoid(self, dies: Collection[int]) -> None:
        """Nobody else is to come to these dies, and to all others again; who is on them stays."""
        for die in range(self.num_dies):
            self._is_open[die] = die not in dies
            self._take(die, 0)

    def serve(self) -> tuple[list[int], list[int]]:
        """Grant what fits, in order; returns the ids granted and the die of each."""
        granted: list[int] = []
        dies: list[int] = []
        waiting, rank, view = self._waiting, self._rank, self._rank_view
        while waiting:
            die = int(rank.argmax())
            request_id, kv_tokens, blocks = waiting[0]
            free = view[die] - blocks
            if free < 0:
                break
            waiting.popleft()
            self._placed[request_id] = (die, blocks, kv_tokens)
            slots = self.free_slots[die] = self.free_slots[die] - 1
            self.free_blocks[die] = free
            view[die] = free if slots else _NO_SLOT
            granted.append(request_id)
            dies.append(die)
        return granted, dies

    def place(self, request_id: int, kv_tokens: int) -> bool:
        """Keep room for a request that is computed here, if there is some and nobody waits for it."""
        if self._waiting:
            return False
        self.ask((request_id,), (kv_tokens,))
        if self.serve()[0]:
            return True
        self._waiting.pop()
        return False

    def claim(self, request_id: int) -> tuple[int, int, int]:
        """The (die, blocks, KV tokens) kept for a request that now starts; its sequence holds them from here on."""
        return self._placed.pop(request_id)

    def cancel(self, request_id: int) -> None:
        """Give back what a request asked for or was granted before it started."""
        placed = self._placed.pop(request_id, None)
        if placed is not None:
            self.free(placed[0], placed[1])
            return
        self._waiting = deque(entry for entry in self._waiting if entry[0] != request_id)

    def grow(self, die: int) -> int:
        """Take one more extent on a die for a running sequence, or what is left of one; returns the blocks taken."""
        blocks = min(self.extent_blocks, self.free_blocks[die])
        if blocks:
            self._take(die, blocks)
        return blocks

    def free(self, die: int, blocks: int) -> None:
        """A sequence or a reservation leaves a die: its blocks and its slot are free."""
        self.free_slots[die] += 1
        free = self.free_blocks[die] = self.free_blocks[die] + blocks
        if self._is_open[die]:
            self._rank_view[die] = free

    def _take(self, die: int, blocks: int) -> None:
        free = self.free_blocks[die] - blocks
        self.free_blocks[die] = free
        self._rank_view[die] = free if self.free_slots[die] and self._is_open[die] else _NO_SLOT

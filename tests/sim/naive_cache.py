"""A prefix cache as one list of blocks, the least recently used first. Every question is a scan of that list."""

from __future__ import annotations

from tests.sim.naive_request import Request

Block = tuple[int, int]


class NaiveCache:
    """Follows "Cache" in docs/architecture.md."""

    def __init__(self, capacity_blocks: int, block_tokens: int) -> None:
        self.capacity_blocks = capacity_blocks
        self.block_tokens = block_tokens
        self.blocks: list[Block] = []
        self.pins: list[tuple[Request, Block]] = []
        self.num_evictions = 0

    def find(self, request: Request) -> int:
        """Leading tokens of the prompt that are here; their blocks are pinned and were just used."""
        found: list[Block] = []
        for block in request.blocks():
            if block not in self.blocks:
                break
            found.append(block)
        for block in reversed(found):
            self.blocks.remove(block)
            self.blocks.append(block)
        self.pins += [(request, block) for block in found]
        return min(len(found) * self.block_tokens, request.prompt_tokens)

    def release(self, request: Request) -> None:
        """The request's pins are gone."""
        self.pins = [pin for pin in self.pins if pin[0] is not request]

    def store(self, request: Request) -> None:
        """Unpin, keep as many leading blocks of the prompt as room can be made for, the first one most recent."""
        self.release(request)
        prompt = request.blocks()
        kept = [block for block in prompt if block in self.blocks]
        for block in prompt:
            if block in kept:
                continue
            if len(self.blocks) >= self.capacity_blocks and not self._evict_one(prompt):
                break
            self.blocks.append(block)
            kept.append(block)
        for block in reversed(prompt):
            if block in kept:
                self.blocks.remove(block)
                self.blocks.append(block)

    def _evict_one(self, prompt: list[Block]) -> bool:
        pinned = [block for _, block in self.pins]
        for block in self.blocks:
            if block not in pinned and block not in prompt:
                self.blocks.remove(block)
                self.num_evictions += 1
                return True
        return False

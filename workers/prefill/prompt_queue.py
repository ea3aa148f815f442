"""Prompts at an instance that computes them: who waits, how far the first has come, what a pass takes of them.

The rules are in docs/engine-rules.md, "Rules of the two engines". Whose KV finds room is for the instance to say: it is
asked once for each prompt, when that enters its first pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from scheduler.protocol.messages import ExtendCached, StartPrefill
from workers.cache.store import BlockStore
from workers.oracle import output_tokens
from workers.prefill.one_pass import NO_PASS, Pass

Prompt = tuple[int, int, int, int, bytes]
"""A prompt that waits or is being computed: id, tokens, those of them cached, those resumed, and its payload."""

Enter = Callable[[int, int], bool]
"""Takes room for the KV of a request of so many tokens; False if there is none."""


class PromptQueue:
    """Prompts in order of arrival. Only the first may have been begun: a chunk is cut where a pass is full.

    `cache` is the instance's own, if it has one: it is looked up when a prompt enters its first pass.
    """

    def __init__(self, cache: BlockStore | None = None) -> None:
        self.cache = cache
        self._queue: deque[Prompt] = deque()
        # So many tokens of the KV of the first in the queue exist.
        self._position = 0
        # Prefix blocks of queued prompts, kept only for an instance with a cache of its own, and who is recomputed.
        self._prefixes: dict[int, tuple[list[int], int]] = {}
        self._recomputed: set[int] = set()
        # Of those that have not begun: who was named as next, and of whom more is cached than they were sent with.
        self._named: set[int] = set()
        self._extended: set[int] = set()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, message: StartPrefill) -> None:
        """These wait from now on."""
        self._queue.extend(
            zip(message.ids, message.prompt_tokens, message.cached_tokens, message.resumed_tokens, message.payloads)
        )
        if self.cache is not None:
            prefixes = zip(message.prefixes, message.tenants, strict=True)
            self._prefixes.update(zip(message.ids, prefixes, strict=True))

    def drop(self, ids: Collection[int]) -> list[int]:
        """Forget those that have not begun; returns them. Who has begun goes on."""
        wanted = set(ids)
        begun = self._queue[0][0] if self._position else None
        dropped = {request_id for request_id, *_ in self._queue if request_id in wanted and request_id != begun}
        if dropped:
            self._queue = deque(prompt for prompt in self._queue if prompt[0] not in dropped)
            self._named -= dropped
            self._extended -= dropped
            for request_id in dropped:
                self._prefixes.pop(request_id, None)
        return sorted(dropped)

    def extend(self, message: ExtendCached) -> None:
        """They were named as next, so they stand in front; who has begun, or is not here any more, is passed over."""
        more = dict(zip(message.ids, message.cached_tokens, strict=True))
        queue, begun = self._queue, self._queue[0][0] if self._position else None
        for index, (request_id, prompt_tokens, cached, resumed, payload) in enumerate(queue):
            if not more:
                break
            tokens = more.pop(request_id, 0)
            if tokens > cached and request_id != begun:
                # The deque is not resized, so that going on is safe.
                queue[index] = request_id, prompt_tokens, tokens, resumed, payload
                self._extended.add(request_id)

    def name_next(self, room: int) -> list[int]:
        """Those whose first chunk fits in a pass of `room` tokens after the one that begins, as far as they were not
        named before."""
        named, position = self._named, self._position
        next_ids: list[int] = []
        for request_id, prompt_tokens, cached, resumed, _ in self._queue:
            if room <= 0:
                break
            if not position and request_id not in named:
                named.add(request_id)
                next_ids.append(request_id)
            room -= prompt_tokens + resumed - (position or cached)
            position = 0
        return next_ids

    def fill(self, now_ns: int, budget: int, enter: Enter) -> Pass:
        """Take prompts in order of arrival up to a budget of computed tokens, as long as they find room."""
        queue, position = self._queue, self._position
        started_ids: list[int] = []
        started_cached: list[int] = []
        last_chunk_ids: list[int] = []
        stopping_ids: list[int] = []
        tokens = pairs = cached_tokens = 0
        tells_cached = self.cache is not None or bool(self._extended)
        while queue and tokens < budget:
            request_id, prompt_tokens, cached, resumed, payload = queue[0]
            total = prompt_tokens + resumed
            if not position:
                if not enter(request_id, total):
                    break
                if self.cache is not None:
                    cached = self._look_up(self.cache, queue[0], now_ns)
                if tells_cached:
                    started_cached.append(cached)
                position = cached
                cached_tokens += cached
                started_ids.append(request_id)
            take = total - position
            if take > budget - tokens:
                take = budget - tokens
            tokens += take
            pairs += take * position + take * (take + 1) // 2
            position += take
            if position == total:
                queue.popleft()
                position = 0
                last_chunk_ids.append(request_id)
                if output_tokens(payload) - resumed == 1:
                    stopping_ids.append(request_id)
        self._position = position
        if not tokens:
            return NO_PASS
        self._named.difference_update(started_ids)
        self._extended.difference_update(started_ids)
        return Pass(tokens, pairs, cached_tokens, started_ids, started_cached, last_chunk_ids, stopping_ids)

    def _look_up(self, cache: BlockStore, prompt: Prompt, now_ns: int) -> int:
        """Cached tokens of a prompt that enters its first pass; one token is always computed."""
        request_id, prompt_tokens, _, resumed, _ = prompt
        if resumed:
            self._recomputed.add(request_id)
        prefix, tenant = self._prefixes.pop(request_id)
        # Its servers are the instance's own nodes: nothing has to be fetched, whatever the tier.
        found, _ = cache.look_up(request_id, prefix, tenant, prompt_tokens, now_ns)
        return min(found, prompt_tokens - 1)

    def store(self, prefilled_ids: list[int], now_ns: int) -> None:
        """Blocks of prompts that are done become visible; recomputed prompts have stored theirs before."""
        if self.cache is None:
            return
        for request_id in prefilled_ids:
            if request_id in self._recomputed:
                self._recomputed.remove(request_id)
                self.cache.release(request_id, now_ns)
            else:
                self.cache.store(request_id, now_ns)

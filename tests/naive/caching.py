"""What the core of the naive simulation asks of caches, and what it does with the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.naive.cache import NaiveCache
from tests.naive.fabric import Flow
from tests.naive.reads import Read, Reads
from tests.naive.request import Request
from tests.naive.world import World

if TYPE_CHECKING:
    from tests.naive.simulation import Core


class Caching:
    """The pool, and reads of it; with caches of instances' own there is only what answers leave there."""

    def __init__(self, world: World, core: Core) -> None:
        self.world = world
        self.core = core
        self.case = case = core.case
        self.is_pooled = case.cache_mode == "pool"
        self.reads = Reads(world, core)
        self.pool = NaiveCache(
            case.cache_blocks * case.block_tokens,
            case.block_tokens,
            num_servers=case.cache_servers,
            ssd_tokens=case.cache_ssd_blocks * case.block_tokens,
            share=case.cache_namespace_share,
        )

    def look_up(self, requests: list[Request]) -> None:
        """Of whom nothing is known, nothing is asked: they go at once, the others when the pool has answered."""
        asking = [r for r in requests if self.is_pooled and r.prefix]
        self.core.route([r for r in requests if r not in asking])
        if asking:
            self.world.say(self._ask, asking)

    def _ask(self, requests: list[Request]) -> None:
        for request in requests:
            found, request.from_ssd = self.pool.find(request)
            request.found = found
            request.cached = min(found, request.prompt_tokens - 1)
        self.world.say(self._on_found, requests)

    def _on_found(self, requests: list[Request]) -> None:
        self.core.route(requests)
        self.core.has_heard()

    def read(self, index: int, requests: list[Request]) -> None:
        """All that is cached, and beside it what comes from SSD."""
        tokens = [r.cached for r in requests], [r.from_ssd for r in requests if r.from_ssd]
        self._begin_read(index, requests, *tokens, self._on_read, is_more=False)

    def _begin_read(
        self,
        index: int,
        requests: list[Request],
        tokens: list[int],
        ssd_tokens: list[int],
        then: Callable[[list[Request]], None],
        *,
        is_more: bool,
    ) -> None:
        flows = [("read", tokens), ("ssd read", ssd_tokens)]
        made = [Flow(kind, index, 0, tokens, requests) for kind, tokens in flows if tokens]
        read = Read(index, requests, made, is_more=is_more)
        num_arrived = 0

        def on_arrived(requests: list[Request]) -> None:
            nonlocal num_arrived
            num_arrived += 1
            if num_arrived == len(read.flows) and read in self.reads.open:
                self.reads.end(read)
                then(requests)

        for flow in read.flows:
            self.core.transfer(flow, on_arrived)
        self.reads.begin(read)

    def _on_read(self, requests: list[Request]) -> None:
        self.core.start_prefill(requests[0].prefill_instance, requests)

    # -- what is cached of those who wait may grow

    def look_up_again(self, requests: list[Request]) -> None:
        """These begin in the pass after this one."""
        asked = [r for r in requests if r.prefix]
        if asked:
            self.world.say(self._ask_again, asked)

    def _ask_again(self, requests: list[Request]) -> None:
        grown: list[Request] = []
        for request in requests:
            found, from_ssd = self.pool.find_more(request)
            if found > request.found:
                request.found, request.more_from_ssd = found, from_ssd
                grown.append(request)
        if grown:
            self.world.say(self._on_grown, grown)

    def _on_grown(self, requests: list[Request]) -> None:
        index = requests[0].prefill_instance
        news = {id(r): min(r.found, r.prompt_tokens - 1) for r in requests if r.is_at_prefill}
        members = [r for r in requests if id(r) in news and news[id(r)] > r.cached]
        if members and self.reads.are_tried(index):

            def on_arrived(requests: list[Request]) -> None:
                self.world.say(self.core.prefill[index].extend, [(r, news[id(r)]) for r in requests])

            tokens = [news[id(r)] - r.cached for r in members]
            ssd_tokens = [r.more_from_ssd for r in members if r.more_from_ssd]
            self._begin_read(index, members, tokens, ssd_tokens, on_arrived, is_more=True)
        self.core.has_heard()

    # -- what was computed is kept

    def take_computed(self, index: int, done: list[Request]) -> None:
        """The last passes over these prompts have ended; `first_token_ns` is that of an earlier time, if any."""
        if not self.is_pooled:
            return
        stored = [r for r in done if r.first_token_ns == -1 and r.prefix]
        self.world.say(self._release, [r for r in done if r.first_token_ns != -1])
        self.world.say(self._store, stored)
        if stored:
            self._write("write", index, 0, sum(r.prompt_tokens - r.cached for r in stored))

    def _write(self, kind: str, prefill: int, decode: int, num_tokens: int) -> None:
        for each in (kind, "ssd write")[: 1 + (self.is_pooled and self.case.cache_ssd_blocks > 0)]:
            self.core.transfer(Flow(each, prefill, decode, [num_tokens], []), None)

    def _release(self, requests: list[Request]) -> None:
        for request in requests:
            self.pool.release(request)

    def _store(self, requests: list[Request]) -> None:
        for request in requests:
            self.pool.store(request)

    def take_answers(self, decode: int, ended: list[Request]) -> None:
        """The KV of prompt and answer but for the last token, in whole blocks, where the prompt's is kept."""
        kept: dict[int, list[Request]] = {}
        for request in ended:
            is_known = bool(request.prefix) and request.answer is not None
            if self.case.keeps_answers and is_known and request.chain(self.case.block_tokens)[1]:
                kept.setdefault(0 if self.is_pooled else request.prefill_instance, []).append(request)
        for where, requests in kept.items():
            cache, num_new = self.pool if self.is_pooled else self.core.prefill[where].cache, 0
            if cache is None:
                continue
            for request in requests:
                chain, num_more = request.chain(self.case.block_tokens)
                num_new += num_more
                self.world.say(cache.insert, chain)
            if self.is_pooled:
                self._write("answer to pool", where, decode, num_new * self.case.block_tokens)
            elif not self._is_of_both(where, decode):
                self._write("answer to prefill", where, decode, num_new * self.case.block_tokens)

    def _is_of_both(self, prefill: int, decode: int) -> bool:
        """Whether these are one aggregated instance: they come last, in the same order at both stages."""
        number = prefill - self.case.num_prefill
        return number >= 0 and number == decode - self.case.num_decode

"""The cache pools, one for each supernode: asked about prompts, told what to keep, and lost.

A prompt that arrives is looked up in every pool, or in those of the supernodes that it may go to; which of the answers
counts is known when an instance is chosen, since an instance reads and writes the pool of its own supernode. The other
pools are then told that they need not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from scheduler.core.open_requests import OpenRequests
from scheduler.core.request_table import RequestTable
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import PrefixesFound, ReleasePrefixes

_UNANSWERED: Final = -1
"""In place of the tokens found: no answer yet. A pool that was not asked, or was lost since, has no entry."""


class Pools:
    """Pools by index, as `SchedulerConfig.pools` names them; `up` are those that are there."""

    def __init__(self, addresses: Sequence[str], table: RequestTable, open_requests: OpenRequests) -> None:
        self.addresses: Final = list(addresses)
        self.index: Final = {address: index for index, address in enumerate(addresses)}
        self.up = list(range(len(addresses)))
        self._down: frozenset[int] = frozenset()
        self._table = table
        self._open = open_requests
        self.candidates: Callable[[int], Collection[int]] | None = None
        """Which pools are asked about a request; all where nobody says."""
        # Leading tokens found, by pool, of requests for which no instance is chosen yet; only where there are several.
        self._found: dict[int, dict[int, int]] = {}
        # How many of them are on SSD, by request and pool, if any are.
        self._found_on_ssd: dict[int, dict[int, int]] = {}

    def ask(self, ids: list[int]) -> Outputs:
        """What of these prompts is cached?"""
        if len(self.addresses) > 1 and self.candidates is not None:
            return self._ask_candidates(ids, self.candidates)
        question = self._open.look_up(ids, self._table.prompt_tokens)
        if len(self.addresses) > 1:
            unanswered = dict.fromkeys(self.up, _UNANSWERED)
            for request_id in ids:
                self._found[request_id] = dict(unanswered)
        return [(self.addresses[index], question) for index in self.up]

    def _ask_candidates(self, ids: list[int], candidates: Callable[[int], Collection[int]]) -> Outputs:
        asked: dict[int, list[int]] = {}
        for request_id in ids:
            up = [index for index in candidates(request_id) if index not in self._down] or self.up
            self._found[request_id] = dict.fromkeys(up, _UNANSWERED)
            for index in up:
                asked.setdefault(index, []).append(request_id)
        tokens = self._table.prompt_tokens
        return [(self.addresses[index], self._open.look_up(of, tokens)) for index, of in sorted(asked.items())]

    def answered(self, message: PrefixesFound) -> Sequence[int]:
        """A pool has answered; returns those about whom all have, whose `cached_tokens` are the most that one has."""
        cached, prompt_tokens = self._table.cached_tokens, self._table.prompt_tokens
        if len(self.addresses) == 1:
            for request_id, found in zip(message.ids, message.cached_tokens, strict=True):
                # Even a full hit computes one token, to have something to answer with.
                cached[request_id] = min(found, prompt_tokens[request_id] - 1)
            if any(message.ssd_tokens):
                self._open.ssd_tokens.update(zip(message.ids, message.ssd_tokens, strict=True))
            return message.ids
        index = self.index[message.pool]
        for request_id, found in zip(message.ids, message.cached_tokens, strict=True):
            self._found[request_id][index] = min(found, prompt_tokens[request_id] - 1)
        for request_id, on_ssd in zip(message.ids, message.ssd_tokens, strict=True):
            if on_ssd:
                self._found_on_ssd.setdefault(request_id, {})[index] = on_ssd
        return self._complete(message.ids)

    def shrunk(self, index: int, request_id: int, cached_tokens: int) -> None:
        """A pool has lost blocks that it had found for a request for which no instance is chosen yet."""
        found = self._found.get(request_id)
        if found is None:
            if request_id in self._open.unrouted:
                self._table.cached_tokens[request_id] = cached_tokens
                self._open.ssd_tokens.pop(request_id, None)
        elif found.get(index, _UNANSWERED) >= 0:
            found[index] = cached_tokens
            self._found_on_ssd.get(request_id, {}).pop(index, None)
            self._complete([request_id])

    def withdrawn(self, index: int, request_id: int, cached_tokens: int) -> None:
        """An instance has to be chosen once more, when no pool but this one knows of the request any more."""
        self._table.cached_tokens[request_id] = cached_tokens
        if len(self.addresses) > 1:
            self._found[request_id] = {index: cached_tokens}

    def _complete(self, ids: Iterable[int]) -> list[int]:
        done = [i for i in ids if _UNANSWERED not in self._found[i].values()]
        for request_id in done:
            self._table.cached_tokens[request_id] = max(self._found[request_id].values(), default=0)
        return done

    def choose(self, request_id: int, index: int) -> int:
        """An instance at this pool will serve the request; returns what the pool has of its prompt."""
        found = self._found.get(request_id)
        if found is None:
            return self._table.cached_tokens[request_id]
        on_ssd = self._found_on_ssd.pop(request_id, None)
        if on_ssd and index in on_ssd:
            self._open.ssd_tokens[request_id] = on_ssd[index]
        if index not in found:
            self._open.prompts.pop(request_id, None)
        cached = self._table.cached_tokens[request_id] = max(0, found.get(index, 0))
        return cached

    def release_others(self, chosen: Iterable[tuple[int, int]]) -> Outputs:
        """(request, pool) that were chosen: the other pools hold nothing for them any more."""
        others: list[tuple[int, int]] = []
        for request_id, index in chosen:
            for other, found in self._found.pop(request_id, {}).items():
                if found >= 0 and other != index:
                    others.append((request_id, other))
        return self.release(others)

    def release(self, chosen: Iterable[tuple[int, int]]) -> Outputs:
        """(request, pool) that will store nothing."""
        releases: dict[int, list[int]] = {}
        for request_id, index in chosen:
            releases.setdefault(index, []).append(request_id)
        return [(self.addresses[index], ReleasePrefixes(ids)) for index, ids in sorted(releases.items())]

    def lose(self, addresses: Collection[str]) -> frozenset[int]:
        """These are gone, with all blocks and pins; returns their indices."""
        lost = frozenset(self.index[address] for address in addresses if address in self.index)
        self._down |= lost
        self.up = [index for index in self.up if index not in lost]
        return lost

    def forget(self, lost: Collection[int]) -> list[int]:
        """The answers of pools that were lost count no more; returns those who waited for nothing else."""
        waiting = [i for i, found in self._found.items() if _UNANSWERED in found.values()]
        for found in self._found.values():
            for index in lost:
                found.pop(index, None)
        for on_ssd in self._found_on_ssd.values():
            for index in lost:
                on_ssd.pop(index, None)
        unrouted = [i for i in self._found if i in self._open.unrouted]
        self._complete(unrouted)
        return self._complete(sorted(waiting))

    def bring_up(self, addresses: Collection[str]) -> None:
        """These are back, and empty."""
        back = {self.index[address] for address in addresses if address in self.index}
        self._down -= back
        self.up = sorted(back.union(self.up))

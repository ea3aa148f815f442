"""What the core must keep of an open request to command workers, and nothing longer than it is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core.request_table import RequestTable
from scheduler.core.routing.tentative_decodes import TentativeDecodes
from scheduler.protocol.messages import NO_ANSWER, LookupPrefixes, RequestsArrived, StartPrefill

_NO_PROMPT: Final[tuple[list[int], int]] = ([], 0)
"""Prefix blocks and tenant of a prompt of which nothing is known."""


class OpenRequests:
    """Payloads of all open requests, and the prefix blocks of those that can hit a cache.

    `unrouted` are those whom no prefill instance could take, because none is up. `held` are those that wait for a cheap
    hour and have asked nobody for anything. `keep_prompts` says whether there is a cache now; prompts that arrive
    without one are not kept. `ssd_tokens` of what was found for a request, and is not fetched yet, are on SSD.
    `grown`: of requests that still fetch what was found first, all leading tokens found since, and those of the new
    part that are on SSD. `answers`: where answers are kept, the id of the block in which a request's answer begins.
    """

    def __init__(self, *, keep_prompts: bool, keep_answers: bool = False) -> None:
        self.payloads: Final[dict[int, bytes]] = {}
        self.prompts: Final[dict[int, tuple[list[int], int]]] = {}
        self.unrouted: Final[set[int]] = set()
        self.held: Final[set[int]] = set()
        self.ssd_tokens: Final[dict[int, int]] = {}
        self.grown: Final[dict[int, tuple[int, int]]] = {}
        self.answers: Final[dict[int, int]] = {}
        self.keep_prompts = keep_prompts
        self._keep_answers: Final = keep_answers
        self.tentative: TentativeDecodes | None = None
        """Where decode instances are chosen together with prefill instances."""
        self.block_tokens = 1
        """Tokens of a block, as arrivals tell."""

    def add(self, ids: Sequence[int], message: RequestsArrived) -> None:
        """These requests arrived."""
        self.block_tokens = message.block_tokens
        self.payloads.update(zip(ids, message.payloads))
        if self.keep_prompts and any(message.prefixes):
            for request_id, prefix, tenant in zip(ids, message.prefixes, message.tenants):
                if prefix:
                    self.prompts[request_id] = (prefix, tenant)
            if self._keep_answers and message.answers:
                self.answers.update((i, first) for i, first in zip(ids, message.answers) if first != NO_ANSWER)

    def drop(self, ids: Sequence[int]) -> None:
        """These requests ended."""
        payloads, prompts = self.payloads, self.prompts
        for request_id in ids:
            del payloads[request_id]
        if prompts:
            for request_id in ids:
                prompts.pop(request_id, None)
        if self.tentative is not None:
            for request_id in ids:
                self.tentative.take(request_id)
        if self.ssd_tokens or self.grown:
            for request_id in ids:
                self.ssd_tokens.pop(request_id, None)
                self.grown.pop(request_id, None)
        if self.answers:
            for request_id in ids:
                self.answers.pop(request_id, None)

    def take_ssd_tokens(self, ids: list[int]) -> list[int]:
        """What of these has to come from SSD, without those that have none; it is not asked for again."""
        if not self.ssd_tokens:
            return []
        tokens = [self.ssd_tokens.pop(request_id, 0) for request_id in ids]
        return [count for count in tokens if count]

    def prompt(self, request_id: int) -> tuple[list[int], int]:
        """Prefix blocks and tenant of a prompt."""
        return self.prompts.get(request_id, _NO_PROMPT)

    def look_up(self, ids: list[int], prompt_tokens: Sequence[int]) -> LookupPrefixes:
        """The question to the cache pool about requests whose blocks are known; `prompt_tokens` is by request id."""
        prompts = [self.prompts[i] for i in ids]
        tokens = [prompt_tokens[i] for i in ids]
        return LookupPrefixes(ids, tokens, [prompt[0] for prompt in prompts], [prompt[1] for prompt in prompts])

    def add_prefixes(self, command: StartPrefill) -> None:
        """An instance with a cache of its own must know the blocks of what it computes."""
        for request_id in command.ids:
            prefix, tenant = self.prompt(request_id)
            command.prefixes.append(prefix)
            command.tenants.append(tenant)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Where the core keeps what it knows of requests."""

    table: RequestTable
    open_requests: OpenRequests

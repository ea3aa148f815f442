"""KV that decode has made, kept where prefix KV is, so that a next turn finds the answer that it repeats.

The KV of the last token of an answer is never made, and only whole blocks can be found: of a prompt of p tokens with an
answer of n, the leading p + n - 1 tokens in whole blocks. They are visible when the answer has ended; a flow that
nobody waits for carries them from the instance that made them, if that is not where they are kept.
"""

from __future__ import annotations

from scheduler.core.config import CacheMode
from scheduler.core.guest import Guest
from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import Transfers
from scheduler.protocol.component import NOTHING, Output, Outputs
from scheduler.protocol.messages import DecodeStepped, Message, StoreAnswers


class KeptAnswers(Guest):
    """Tells the pool, or the cache of the instance that computed the prompt, what decode has made."""

    hears = (DecodeStepped,)

    def __init__(self, state: SchedulerState, routing: Routing, transfers: Transfers) -> None:
        self._open = state.open
        self._table = state.table
        self._prefill = state.prefill
        self._decode = state.decode
        self._pools = state.pools
        self._is_pooled = state.config.cache_mode is CacheMode.POOL
        self._own_caches = routing.prefill.worker_state
        self._transfers = transfers

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Who ends leaves its KV."""
        assert isinstance(message, DecodeStepped)
        if not (message.finished_ids and self._open.answers):
            return NOTHING
        commands: dict[str, StoreAnswers] = {}
        written: dict[str, int] = {}
        for request_id, produced in zip(message.finished_ids, message.finished_tokens, strict=True):
            address = self._address(request_id, message.instance)
            if not address:
                continue
            command = commands.setdefault(address, StoreAnswers([], [], [], []))
            num_tokens = self._add(command, request_id, produced)
            written[address] = written.get(address, 0) + num_tokens
        outputs: list[Output] = []
        for address, num_tokens in written.items():
            if num_tokens:
                outputs += [(address, commands[address]), *self._write(message.instance, address, num_tokens)]
        return outputs

    def _address(self, request_id: int, source: str) -> str:
        """Where its KV belongs; empty if that is not there, is in another supernode, or nothing is known of its
        blocks."""
        if request_id not in self._open.answers or request_id not in self._open.prompts:
            return ""
        index = self._table.prefill_instance[request_id]
        if self._is_pooled:
            pool = self._prefill.pool[index]
            is_reached = pool in self._pools.up and pool == self._decode.pool[self._decode.index[source]]
            return self._pools.addresses[pool] if is_reached else ""
        return self._prefill.addresses[index] if index in self._prefill.up else ""

    def _add(self, command: StoreAnswers, request_id: int, produced: int) -> int:
        """Returns the tokens of the blocks that decode has made, or finished."""
        prefix, tenant = self._open.prompts[request_id]
        block_tokens, prompt_tokens = self._open.block_tokens, self._table.prompt_tokens[request_id]
        num_before = prompt_tokens // block_tokens
        num_blocks = (prompt_tokens + produced - 1) // block_tokens
        if num_blocks <= num_before:
            return 0
        first = self._open.answers[request_id]
        chain = [*prefix[:num_before], *range(first, first + num_blocks - num_before)]
        command.ids.append(request_id)
        command.chains.append(chain)
        command.tenants.append(tenant)
        command.kv_tokens.append(num_blocks * block_tokens)
        if self._own_caches is not None:
            self._own_caches.received(self._table.prefill_instance[request_id], tenant, chain)
        return (num_blocks - num_before) * block_tokens

    def _write(self, source: str, destination: str, num_tokens: int) -> Outputs:
        if self._is_pooled:
            return self._transfers.write(source, destination, num_tokens)
        if source == destination:  # an aggregated instance has computed the prompt, too
            return NOTHING
        return self._transfers.write_back(source, destination, num_tokens)

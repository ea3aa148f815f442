"""What the loss of workers takes from the core: who is down, and which requests have to do something again.

The rules are in docs/engine-rules.md, "When a worker is lost". Losses are rare: all open requests are looked through.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from scheduler.core.lifecycle import AT_DECODE, BEFORE_FIRST_TOKEN, Event, State
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import Transfers
from scheduler.protocol.component import Output, Outputs
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import PrefixesLost
from scheduler.protocol.running_tokens import unpack_running


def set_back_by(
    table: RequestTable,
    ids: Iterable[int],
    prefill: Collection[int],
    decode: Collection[int],
    poolless: Collection[int],
) -> list[int]:
    """Those of `ids` that must be requeued when these instances are lost, by index, and the pools of `poolless` ones.

    Up to the end of the KV transfer a request depends on its prefill instance, from then on on its decode instance.
    """
    states, at_prefill, at_decode = table.state, table.prefill_instance, table.decode_instance
    found: list[int] = []
    for request_id in ids:
        where = states[request_id]
        if where == State.ARRIVED or where == State.ENDED:
            continue
        if where in AT_DECODE:
            is_lost = at_decode[request_id] in decode
        else:
            index = at_prefill[request_id]
            is_lost = index in prefill or (where == State.FETCHING and index in poolless)
        if is_lost:
            found.append(request_id)
    return found


@dataclass(frozen=True, slots=True)
class LossImpact:
    """Requests that a loss has set back, each list in ascending order.

    `requeued` have nothing any more and are in `ARRIVED`. `unanswered` asked a cache that is gone. `unplaced` have
    their KV at prefill but no room at decode. `outputs` go out first.
    """

    requeued: list[int]
    unanswered: list[int]
    unplaced: list[int]
    outputs: Outputs


class Losses:
    """Knows who is `down`, and takes requests away from them."""

    def __init__(self, state: SchedulerState, transfers: Transfers, reservations: Reservations) -> None:
        self.down: Final[set[str]] = set()
        self._state = state
        self._table = state.table
        self._prefill = state.prefill
        self._decode = state.decode
        self._open = state.open
        self._transfers = transfers
        self._reservations = reservations
        self._pools = state.pools
        self._uses_pool = state.uses_pool
        # What each decode instance reported: the KV it holds, the tokens that a sequence which always ran there has
        # produced, and when the last of them came. What it made since nobody has seen.
        self.reported_kv_tokens: Final = [0] * len(state.decode)
        self.grown_tokens: Final = [0] * len(state.decode)
        self.grown_ns: Final = [0] * len(state.decode)
        # What each sequence there has, where they do not all produce alike, else nothing.
        self.running_tokens: Final = [b""] * len(state.decode)

    def lose(self, addresses: Collection[str]) -> LossImpact:
        """These are gone, whether they were up or not."""
        table = self._table
        self.down.update(addresses)
        prefill, decode = self._prefill.take_down(addresses), self._decode.take_down(addresses)
        for index in decode:
            self.reported_kv_tokens[index] = 0
        lost_pools = self._pools.lose(addresses) if self._uses_pool else frozenset[int]()
        poolless = frozenset(index for index, pool in enumerate(self._prefill.pool) if pool in lost_pools)
        open_ids = sorted(self._open.payloads)
        requeued = set_back_by(table, open_ids, prefill, decode, poolless)
        unanswered = self._forget_prompts(open_ids, lost_pools, poolless) if lost_pools else []
        outputs = [*self.withdraw(requeued), *self._transfers.abandon(addresses)]
        unplaced = self._reservations.lose(open_ids, decode)
        return LossImpact(requeued, unanswered, unplaced, outputs)

    def begin_without(self, addresses: Collection[str]) -> None:
        """These are not there when a run begins."""
        self.down.update(addresses)
        self._prefill.take_down(addresses)
        self._decode.take_down(addresses)

    def join(self, addresses: Collection[str]) -> set[str]:
        """These are back and empty; answers them, less those that were not down and are as they were."""
        back = self.down.intersection(addresses)
        self.down.difference_update(back)
        self._prefill.bring_up(back)
        self._decode.bring_up(back)
        if self._uses_pool:
            self._pools.bring_up(back)
            self._open.keep_prompts = bool(self._pools.up)
        return back

    def _forget_prompts(self, open_ids: list[int], lost: Collection[int], poolless: Collection[int]) -> list[int]:
        """All blocks and pins in these pools are gone; returns those who wait for no other answer."""
        table, open_requests = self._table, self._open
        open_requests.keep_prompts = bool(self._pools.up)
        for request_id in open_ids:
            if table.state[request_id] != State.ARRIVED and table.prefill_instance[request_id] in poolless:
                open_requests.prompts.pop(request_id, None)
        if len(self._pools.addresses) > 1:
            return self._pools.forget(lost)
        asked = open_requests.prompts.keys() - open_requests.held
        arrived = [i for i in open_ids if table.state[i] == State.ARRIVED and i in asked]
        for request_id in arrived:
            table.cached_tokens[request_id] = 0
            del open_requests.prompts[request_id]
            open_requests.ssd_tokens.pop(request_id, None)
        return [i for i in arrived if i not in open_requests.unrouted]

    def cut_reads(self, message: PrefixesLost) -> tuple[Outputs, list[int]]:
        """A pool has less than it had found for these; returns those that were fetching it: they are in `ARRIVED`
        again, with what is left. Who has fetched already has lost nothing but what it was fetching since, and nobody's
        retries are counted."""
        table, pool = self._table, self._pools.index[message.pool]
        cut: list[int] = []
        waiting: list[int] = []
        for request_id, cached in zip(message.ids, message.cached_tokens, strict=True):
            where = table.state[request_id]
            if where == State.ARRIVED:
                self._pools.shrunk(pool, request_id, cached)
            elif self._prefill.pool[table.prefill_instance[request_id]] != pool:
                continue
            elif where == State.FETCHING:
                self._take_from_prefill(request_id)
                self._pools.withdrawn(pool, request_id, cached)
                cut.append(request_id)
            elif where == State.PREFILL_QUEUED:
                waiting.append(request_id)
        outputs = self._transfers.withdraw_reads(frozenset([*cut, *waiting]))
        table.move(Event.LOST, cut)
        return outputs, cut

    def withdraw(self, ids: list[int]) -> Outputs:
        """Take these from where they are, back to `ARRIVED`: note what clients have seen of them, give back pins and
        room."""
        table, outputs = self._table, list[Output]()
        pinned: list[int] = []
        not_decoding: list[int] = []
        told: dict[int, dict[int, int]] = {}
        for request_id in ids:
            table.retries[request_id] += 1
            if table.first_token_ns[request_id] == NOT_YET:
                table.prefill_started_ns[request_id] = NOT_YET
            where = table.state[request_id]
            if where == State.DECODING:
                self._note_seen_tokens(request_id, told)
            elif where not in AT_DECODE:
                not_decoding.append(request_id)
            if where in BEFORE_FIRST_TOKEN:
                self._take_from_prefill(request_id)
                if self._uses_pool and request_id in self._open.prompts:
                    pinned.append(request_id)
        at_prefill, pool = table.prefill_instance, self._prefill.pool
        outputs += self._pools.release((i, pool[at_prefill[i]]) for i in pinned)
        outputs += self._reservations.cancel(not_decoding)
        table.move(Event.LOST, ids)
        return outputs

    def requeue(self, ids: list[int], now_ns: int) -> list[int]:
        """These have nothing left but the tokens that they have produced; returns those who may go on, the others
        end."""
        state, table, config = self._state, self._table, self._state.config
        requeued: list[int] = []
        for request_id in ids:
            table.cached_tokens[request_id] = 0
            num_tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
            num_attempts, num_retries = table.preemptions[request_id], table.retries[request_id]
            if num_tokens > state.prefill.max_sequence_tokens:
                # No prefill instance could compute it again: it ends with what it has.
                state.end([request_id], FinishReason.LENGTH, now_ns)
            elif num_attempts > config.max_preemptions or num_retries > config.max_retries:
                state.end([request_id], FinishReason.RETRIES_EXHAUSTED, now_ns)
            else:
                table.decode_instance[request_id] = NOT_YET
                requeued.append(request_id)
        return requeued

    def cancelled(self, ids: list[int]) -> Outputs:
        """Prompts that an instance has dropped: it has less to do, and their pins go back."""
        pool, at_prefill = self._prefill.pool, self._table.prefill_instance
        for request_id in ids:
            self._take_from_prefill(request_id)
        pinned = [i for i in ids if self._uses_pool and i in self._open.prompts]
        return self._pools.release((i, pool[at_prefill[i]]) for i in pinned)

    def _note_seen_tokens(self, request_id: int, told: dict[int, dict[int, int]]) -> None:
        """It goes on after the last token that was reported; those made since are made again.

        `told` are output tokens by request, of each instance as it was asked for.
        """
        table = self._table
        index = table.decode_instance[request_id]
        if self.running_tokens[index]:
            if index not in told:
                told[index] = unpack_running(self.running_tokens[index])
            seen = told[index][request_id] - table.output_tokens[request_id]
        else:
            seen = self.grown_tokens[index] - table.grown_at_start[request_id]
        if seen:
            table.output_tokens[request_id] += seen
            table.last_token_ns[request_id] = self.grown_ns[index]

    def _take_from_prefill(self, request_id: int) -> None:
        """If its instance is up (only what it would have fetched is lost), it has less to do."""
        table, stage = self._table, self._prefill
        index = table.prefill_instance[request_id]
        if index in stage.up:
            tokens = table.prompt_tokens[request_id] + table.output_tokens[request_id]
            stage.remove(index, 1, tokens - table.cached_tokens[request_id])

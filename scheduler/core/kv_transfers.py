"""KV on its way from prefill to decode: one transfer per pair of instances, and what becomes of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from scheduler.core.lifecycle import Event, State
from scheduler.core.request_table import NOT_YET
from scheduler.core.reservations import Reservations
from scheduler.core.state import SchedulerState
from scheduler.core.transfers import KvTransfer, Transfers
from scheduler.policies.view import StageKind
from scheduler.protocol.component import Outputs
from scheduler.protocol.messages import KvReserved, ReleaseKv, StartDecode, TransferDone

# Members of an enumeration are slow to reach.
_TRANSFERRING_KV: Final = int(State.TRANSFERRING_KV)
_KV_TRANSFERRED: Final = Event.KV_TRANSFERRED


class KvTransfers:
    """Starts transfers once room is kept, and lets requests decode when their KV has arrived."""

    def __init__(self, state: SchedulerState, reservations: Reservations, transfers: Transfers) -> None:
        self._state = state
        self._table = state.table
        self._payloads = state.open.payloads
        self._reservations = reservations
        self._transfers = transfers
        self._sources = state.prefill.addresses
        self._destinations = state.decode.addresses

    def on_reserved(self, message: KvReserved) -> Outputs:
        """Room is kept: what is there moves, and what the last pass makes flows as it is made."""
        ready, making = self._reservations.grant(message)
        if not ready:
            return self._start(making, is_made=False)
        return [*self._start(ready, is_made=True), *self._start(making, is_made=False)]

    def on_made(self, source: str, finished_ids: Collection[int]) -> Outputs:
        """A pass has ended: what it made flows; `finished_ids` need no KV any more."""
        outputs = self._transfers.made(source, finished_ids)
        held_back = self._transfers.take_held_back(source)
        if not held_back:
            return outputs
        states = self._table.state
        ids = [i for i in sorted(held_back) if states[i] == _TRANSFERRING_KV]
        return [*outputs, *self._start(ids, is_made=True)]

    def on_done(self, now_ns: int, flow: KvTransfer, done: TransferDone) -> Outputs:
        """The KV of these has arrived."""
        ids, output_tokens, payloads = flow.ids, self._table.output_tokens, self._payloads
        self._table.move(_KV_TRANSFERRED, ids)
        command = StartDecode(ids, [output_tokens[i] for i in ids], [payloads[i] for i in ids])
        for log in self._state.decision_logs:
            log.started(StageKind.DECODE, now_ns, self._state.decode.index[flow.destination], ids, done)
        return [(flow.source, ReleaseKv(ids)), (flow.destination, command)]

    def on_failed(self, now_ns: int, flow: KvTransfer) -> tuple[Outputs, list[int]]:
        """No way was left: whose source reaches somebody moves again, elsewhere if its die does not; returns who must
        be requeued, its KV out of reach."""
        stage, table = self._state.decode, self._table
        destination = stage.index[flow.destination]
        is_unreached = {
            i for i, die in zip(flow.all_ids, flow.dies, strict=True) if not stage.is_reached(destination, die)
        }
        elsewhere = [i for i in flow.ids if i in is_unreached]
        again = [i for i in flow.ids if i not in is_unreached]
        outputs = self._reservations.move(now_ns, elsewhere)
        made = [i for i in again if table.state[i] == _TRANSFERRING_KV]
        if len(made) < len(again):
            # The pass under way goes on; when it has ended, all that it made moves.
            self._transfers.hold_back(flow.source, [i for i in again if table.state[i] != _TRANSFERRING_KV])
        prefill = self._state.prefill
        if made and prefill.is_cut(prefill.index[flow.source]):
            return outputs, made
        return [*outputs, *self._start(made, is_made=True)], []

    def _start(self, ids: list[int], *, is_made: bool) -> Outputs:
        table = self._table
        prompt_tokens, output_tokens, dies = table.prompt_tokens, table.output_tokens, table.decode_die
        # KV has no entry for the token that came last, and the pass under way will add one.
        last = -1 if is_made else 0
        passed_ns = table.last_token_ns
        flows: dict[tuple[int, int], KvTransfer] = {}
        for request_id in ids:
            pair = (table.prefill_instance[request_id], table.decode_instance[request_id])
            tokens = prompt_tokens[request_id] + output_tokens[request_id] + last
            flow = flows.get(pair)
            if flow is None:
                members, ends = [request_id], (self._sources[pair[0]], self._destinations[pair[1]])
                flows[pair] = KvTransfer(members, members, *ends, [tokens], [dies[request_id]])
            else:
                flow.ids.append(request_id)
                flow.num_tokens.append(tokens)
                flow.dies.append(dies[request_id])
        kv_transfer = self._transfers.kv_transfer
        return [
            kv_transfer(flow, max([passed_ns[i] for i in flow.ids]) if is_made else NOT_YET) for flow in flows.values()
        ]

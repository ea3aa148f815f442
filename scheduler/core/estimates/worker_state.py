"""What the control plane knows of one stage beyond its own counts, kept for policies that read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from scheduler.core.estimates.decode_times import DecodeTimes
from scheduler.core.estimates.prediction_error import PredictionError
from scheduler.core.estimates.prefill_times import PrefillTimes
from scheduler.core.estimates.prefix_index import PrefixIndex
from scheduler.core.fleet import Stage
from scheduler.core.guest import Guest
from scheduler.core.lifecycle import State
from scheduler.core.open_requests import RequestFacts
from scheduler.core.request_table import NOT_YET
from scheduler.policies.undeclared import Declared
from scheduler.policies.view import Columns, Reads, RequestView
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import DecodeStepped, InstanceProfiled, Message, PrefillStepped, WorkersLost

ENOUGH_REPORTS: Final = 64
"""Reports from which on a decision need not say what its predictions stand on."""

NS_PER_S: Final = 10**9

Predictions = tuple[Any, Any, Any]
"""Backlog and work of each instance in nanoseconds, and the number of samples; or a `Refusal` in the place of each."""


class WorkerState(Guest):
    """Columns by instance as last reported, the index of own caches, and predicted times; each only if `reads` says.

    `columns` are live: who wants to keep them takes a copy.
    """

    def __init__(
        self,
        stage: Stage,
        facts: RequestFacts,
        reads: Reads,
        declared: Declared,
        *,
        is_prefill: bool,
        has_own_caches: bool,
    ) -> None:
        self._is_prefill: Final = is_prefill
        num = len(stage)
        self._stage = stage
        self._table = facts.table
        self._open = facts.open_requests
        self._zeros: Final = [0] * num
        sizes = [instance.num_npus for instance in stage.instances]
        learns = Reads.PREDICTIONS in reads
        self._prefill_times = PrefillTimes(sizes) if learns else None
        self._decode_times = DecodeTimes(sizes) if learns else None
        has_index = has_own_caches and Reads.OWN_CACHES in reads
        self._index = PrefixIndex([instance.cache_blocks for instance in stage.instances]) if has_index else None
        # What nobody reads cannot be read by mistake.
        refused = declared.refusal
        self._nothing_held = self._zeros if Reads.OWN_CACHES in reads else refused("held_tokens")
        self._no_predictions: Predictions = refused("backlog_ns"), refused("work_ns"), refused("num_samples")
        self._running: Final = [0] * num
        self._kv_tokens: Final = [0] * num
        self._sequences: Final = [0] * num
        self._sequence_tokens: Final = [0] * num
        self._tokens_per_s: Final = [0.0] * num
        self._reported_ns: Final = [NOT_YET] * num
        self._has_lost_some = False
        self.columns: Final = Columns(
            stage.outstanding_requests,
            stage.outstanding_tokens,
            self._running,
            self._kv_tokens,
            [instance.kv_capacity_tokens for instance in stage.instances],
            self._tokens_per_s,
            self._reported_ns,
            self._zeros if self._index is None else self._index.sizes,
            stage.pool,
        )
        self._observers: Final[dict[type, Callable[[Any], None]]] = {
            PrefillStepped: self._on_prefill_stepped,
            DecodeStepped: self._on_decode_stepped,
            WorkersLost: self._on_workers_lost,
            InstanceProfiled: self._on_profiled,
        }
        self.hears = self._observers.keys()
        self._profiled = ""
        self._num_reports = 0

    @property
    def prediction_error(self) -> PredictionError | None:
        """Of whichever times this stage predicts; None if nobody asks for any."""
        if self._prefill_times is None or self._decode_times is None:
            return None
        return self._prefill_times.error if self._is_prefill else self._decode_times.error

    @property
    def learns(self) -> bool:
        """Whether times are predicted here."""
        return self._prefill_times is not None

    def source_of_times(self, now_ns: int) -> str:
        """What stands behind predictions, as long as it is not mostly reports; empty from then on."""
        if self._prefill_times is None or self._num_reports >= ENOUGH_REPORTS:
            return ""
        if not self._profiled:
            return f"times learned from {self._num_reports} reports"
        age = f"{now_ns // NS_PER_S:,} s old"
        return f"times of {self._profiled}'s start-up profile, {age}, and {self._num_reports} reports"

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Learn from what the core is told, before it acts on it."""
        self._observers[type(message)](message)
        return NOTHING

    def request(self, now_ns: int, request_id: int, num_tokens: int, *, is_prefill: bool) -> RequestView:
        """The request as a policy sees it, with a column entry for each instance."""
        table, known = self._table, self._open
        total = table.prompt_tokens[request_id] + table.output_tokens[request_id]
        cached = table.cached_tokens[request_id] if is_prefill else 0
        blocks, tenant = known.prompt(request_id)
        held, shown = self._zeros, self._nothing_held
        if self._index is not None and blocks:
            most, block_tokens = total - 1, known.block_tokens
            held = shown = [min(most, found * block_tokens) for found in self._index.match(tenant, blocks)]
        backlog, work, num_samples = self._predict(now_ns, total, cached, held, num_tokens, is_prefill=is_prefill)
        return RequestView(
            now_ns,
            num_tokens,
            total,
            cached,
            blocks,
            tenant,
            known.block_tokens,
            shown,
            backlog,
            work,
            num_samples,
        )

    def received(self, index: int, tenant: int, blocks: Sequence[int]) -> None:
        """An instance's own cache was given these blocks by a decode instance."""
        if self._index is not None:
            self._index.add(index, tenant, blocks)

    def _predict(
        self, now_ns: int, total: int, cached: int, held: list[int], num_tokens: int, *, is_prefill: bool
    ) -> Predictions:
        if self._prefill_times is None or self._decode_times is None:
            return self._no_predictions
        if is_prefill:
            times = self._prefill_times
            if self._has_lost_some:
                self._forget_ended(times)
            work = times.work_ns(total, [at_hand if at_hand > cached else cached for at_hand in held])
            return times.backlog_ns(now_ns), work, times.num_samples(0)
        steps, stage = self._decode_times, self._stage
        loads = zip(stage.outstanding_requests, stage.outstanding_tokens)
        tpots = [steps.tpot_ns(index, num + 1, kv + num_tokens) for index, (num, kv) in enumerate(loads)]
        return [0.0] * len(tpots), tpots, steps.num_samples(0)

    def _forget_ended(self, times: PrefillTimes) -> None:
        """Who was set back by a loss may have ended instead of being routed again."""
        self._has_lost_some = False
        for index, request_id in times.waiting():
            if self._table.state[request_id] == State.ENDED:
                times.withdraw(index, request_id)

    def withdrawn(self, index: int, request_id: int) -> None:
        """A prompt that has not begun was taken from a prefill instance."""
        if self._prefill_times is not None:
            self._prefill_times.withdraw(index, request_id)

    def routed(self, index: int, request_id: int, request: RequestView) -> None:
        """A prompt goes to a prefill instance."""
        if self._index is not None and request.blocks:
            self._index.add(index, request.tenant, request.blocks)
        if self._prefill_times is not None:
            before = self._table.prefill_instance[request_id]
            if before != NOT_YET:
                self._prefill_times.withdraw(before, request_id)
            held_tokens = 0 if self._index is None else request.held_tokens[index]
            at_hand = max(request.cached_tokens, held_tokens)
            predicted_ns = request.backlog_ns[index] + request.work_ns[index]
            self._prefill_times.sent(request.now_ns, index, request_id, (request.total_tokens, at_hand, predicted_ns))

    def _on_prefill_stepped(self, message: PrefillStepped) -> None:
        index = self._stage.index.get(message.instance)
        if index is None:
            return
        table = self._table
        prompt_tokens, produced = table.prompt_tokens, table.output_tokens
        self._running[index] += len(message.started_ids) - len(message.prefilled_ids)
        self._kv_tokens[index] += sum([prompt_tokens[i] + produced[i] for i in message.started_ids])
        self._kv_tokens[index] -= sum([prompt_tokens[i] + produced[i] for i in message.prefilled_ids])
        self._reported_ns[index] = message.boundary_ns
        if message.computed_tokens and message.usage.busy_ns:
            self._tokens_per_s[index] = 1e9 * message.computed_tokens / message.usage.busy_ns
        if self._prefill_times is not None:
            self._num_reports += bool(message.computed_tokens)
            self._prefill_times.observe(index, message)

    def _on_decode_stepped(self, message: DecodeStepped) -> None:
        index = self._stage.index.get(message.instance)
        if index is None:
            return
        left = len(message.finished_ids) + len(message.preempted_ids)
        # An aggregated instance runs prompts besides.
        running, kv_tokens = message.num_running + len(message.started_ids) - left, message.kv_tokens
        self._running[index] += running - self._sequences[index]
        self._kv_tokens[index] += kv_tokens - self._sequence_tokens[index]
        self._sequences[index], self._sequence_tokens[index] = running, kv_tokens
        self._reported_ns[index] = message.boundary_ns
        if message.num_running and message.steps_ns:
            self._tokens_per_s[index] = 1e9 * message.num_tokens / message.steps_ns
        if self._decode_times is not None:
            self._num_reports += bool(message.num_steps)
            self._decode_times.observe(index, message)

    def _on_profiled(self, message: InstanceProfiled) -> None:
        index = self._stage.index.get(message.instance)
        if index is None or self._prefill_times is None or self._decode_times is None:
            return
        self._profiled = self._profiled or message.instance
        times = self._prefill_times if any(message.new_tokens) else self._decode_times
        times.take_profile(index, message)

    def _on_workers_lost(self, message: WorkersLost) -> None:
        for address in message.addresses:
            index = self._stage.index.get(address)
            if index is None:
                continue
            self._running[index] = self._kv_tokens[index] = 0
            self._sequences[index] = self._sequence_tokens[index] = 0
            self._tokens_per_s[index] = 0.0
            self._reported_ns[index] = NOT_YET
            if self._index is not None:
                self._index.forget(index)
            if self._prefill_times is not None and self._decode_times is not None:
                self._prefill_times.lose(index)
                self._decode_times.lose(index)
        self._has_lost_some = True

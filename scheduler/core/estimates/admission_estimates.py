"""What a request may expect if it is let in: predicted from reports, and how full the instances are."""

from __future__ import annotations

from scheduler.core.routing.stages import Routing
from scheduler.core.state import SchedulerState
from scheduler.policies.admission import AdmissionView
from scheduler.policies.view import Reads
from scheduler.policies.waiting import NO_LIMIT_NS, WaitingRequest


class AdmissionEstimates:
    """Answers for a request that no instance is chosen for yet."""

    def __init__(self, state: SchedulerState, routing: Routing, reads: Reads) -> None:
        self._state = state
        self._prefill = routing.prefill
        self._decode = routing.decode
        self._reads = reads

    def view(self, now_ns: int, request: WaitingRequest) -> AdmissionView:
        """What the core knows of it now."""
        if Reads.PREDICTIONS in self._reads:
            return self._predicted(now_ns, request)
        if Reads.REPORTS in self._reads:
            return AdmissionView(now_ns, queues=self._queues(), kv_usages=self._kv_usages())
        return AdmissionView(now_ns)

    def _predicted(self, now_ns: int, request: WaitingRequest) -> AdmissionView:
        decision, seen = self._prefill.foresee(now_ns, request.request_id, request.num_tokens)
        ttft_ns = seen.backlog_ns[decision.instance] + seen.work_ns[decision.instance]
        if request.tpot_limit_ns == NO_LIMIT_NS or not self._state.decode.eligible:
            return AdmissionView(now_ns, ttft_ns, 0.0, seen.num_samples)
        table, i = self._state.table, request.request_id
        tokens = table.prompt_tokens[i] + table.output_tokens[i]
        tpot_ns, num_samples = self._decode.least_tpot_ns(now_ns, i, tokens)
        return AdmissionView(now_ns, ttft_ns, tpot_ns, min(seen.num_samples, num_samples))

    def _queues(self) -> tuple[int, ...]:
        """Prompts that were sent to each prefill instance and wait there."""
        stage, running = self._state.prefill, self._prefill.columns.running_requests
        return tuple([max(0, stage.outstanding_requests[i] - running[i]) for i in stage.eligible])

    def _kv_usages(self) -> tuple[float, ...]:
        """KV of each prefill instance that is in use, or of the emptiest decode instance if that is fuller."""
        stage, columns, decode = self._state.prefill, self._prefill.columns, self._state.decode
        sizes = self._decode.columns.kv_capacity_tokens
        decoding = [decode.outstanding_tokens[i] / max(1, sizes[i]) for i in decode.eligible]
        least = min(decoding, default=1.0)
        return tuple([max(least, columns.kv_tokens[i] / max(1, columns.kv_capacity_tokens[i])) for i in stage.eligible])

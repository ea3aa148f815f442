"""What was decided about each request: rows of a run's decision log. Rows are packed as in `collector`."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import numpy as np

from scheduler.core.routing.decision import Decision
from scheduler.metrics.columns import Rows
from scheduler.policies.view import StageKind
from scheduler.protocol.messages import TransferDone

_pack_start: Final = Struct("<iqhhqqqi").pack
START_ROW: Final = np.dtype(
    [
        ("request_id", "<i4"),
        ("said_ns", "<i8"),
        ("instance", "<i2"),
        ("reason", "<i2"),
        ("transfer_ns", "<i8"),
        ("hidden_ns", "<i8"),
        ("transfer_bytes", "<i8"),
        ("transfer_requests", "<i4"),
    ]
)
"""An instance was told to begin with a request, when the flow that it needs had ended: of cached KV for prefill, of the
prompt's KV for decode. `transfer_*` are of that flow, which may carry several requests; 0 if there was none.
`transfer_ns` counts from when all of its data was there, `hidden_ns` for how long it had flowed before, behind the pass
that made it. `said_ns` less both is when the flow was asked for, which for prefill is when the instance was chosen.
`reason` is an index of `RunDecisions.reasons`, of the decision by which the instance was chosen."""

_NO_FLOW: Final = (0, 0, 0, 0)


class RunDecisions:
    """The `DecisionLog` of a run; instances are indices within their role, as in the request table.

    Rows stand in the order of saying; a request that was requeued has several.
    """

    def __init__(self) -> None:
        self._reason_index: Final = {stage: {"": 0} for stage in StageKind}
        self._rows: Final = {stage: bytearray() for stage in StageKind}
        # By request, from the choice until its instance is told to begin.
        self._chosen: Final = {stage: dict[int, int]() for stage in StageKind}

    def reasons(self, stage: StageKind) -> list[str]:
        """Those that were given, by their index in the rows of a stage; the first is empty."""
        return list(self._reason_index[stage])

    def rows(self, stage: StageKind) -> Rows:
        """`START_ROW` of a stage. The log cannot grow while the view lives."""
        return np.frombuffer(self._rows[stage], START_ROW)

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """Remember the reason until the instance is told."""
        reasons = self._reason_index[stage]
        self._chosen[stage][request_id] = reasons.setdefault(decision.reason, len(reasons))

    def started(
        self, stage: StageKind, now_ns: int, instance: int, ids: Sequence[int], flow: TransferDone | None
    ) -> None:
        """Log a row for each request."""
        rows, chosen, pack = self._rows[stage], self._chosen[stage], _pack_start
        if flow is None:
            said_ns, moved = now_ns, _NO_FLOW
        else:
            # Live, the core hears of it late, and answers as of the time at which it happened.
            said_ns, moved = flow.done_ns, (flow.duration_ns, flow.hidden_ns, flow.num_bytes, len(ids))
        for request_id in ids:
            rows += pack(request_id, said_ns, instance, chosen.pop(request_id), *moved)

"""What was decided about each request: rows of a run's decision log. Rows are packed as in `collector`."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from struct import Struct
from typing import Any, Final

import numpy as np

from scheduler.core.config import CacheMode
from scheduler.core.routing.decision import Decision
from scheduler.core.routing.stages import Routing
from scheduler.core.routing.standing import NOWHERE, Standing, standings
from scheduler.core.state import SchedulerState
from scheduler.metrics.columns import Rows
from scheduler.policies.view import StageKind
from scheduler.protocol.messages import TransferDone

_pack_start: Final = Struct("<iqhhqqqii").pack
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
        ("choice", "<i4"),
    ]
)
"""An instance was told to begin with a request, when the flow that it needs had ended: of cached KV for prefill, of the
prompt's KV for decode. `transfer_*` are of that flow, which may carry several requests; 0 if there was none.
`transfer_ns` counts from when all of its data was there, `hidden_ns` for how long it had flowed before, behind the pass
that made it. `said_ns` less both is when the flow was asked for, which for prefill is when the instance was chosen.
`reason` is an index of `RunDecisions.reasons`, of the decision by which the instance was chosen, `choice` of its row
of `CHOICE_ROW`."""

_STANDING: Final = (
    ("instance", "<i2"),
    ("requests", "<i4"),
    ("tokens", "<i8"),
    ("hit_tokens", "<i8"),
    ("wait_ns", "<f8"),
    ("work_ns", "<f8"),
    ("score", "<f8"),
)
CHOICE_ROW: Final = np.dtype(
    [("request_id", "<i4"), *((f"{which}_{name}", kind) for which in ("chosen", "other") for name, kind in _STANDING)]
)
"""An instance was chosen for a request: how it stood then, and how the best other did, as in
`scheduler.core.routing.standing`; the other's instance is -1 if there was no other."""

_pack_choice: Final = Struct("<ihiqqdddhiqqddd").pack
_NOBODY: Final = (-1, 0, 0, -1, nan, nan, nan)

_NO_FLOW: Final = (0, 0, 0, 0)


class RunDecisions:
    """The `DecisionLog` of a run; instances are indices within their role, as in the request table.

    Rows stand in the order of saying; a request that was requeued has several. It is asked while nothing of a choice is
    counted yet, so that it finds the numbers as the policy did. Once the run has ended it knows the core no more.
    """

    def __init__(self, routing: Routing, state: SchedulerState) -> None:
        self._core: tuple[Routing, SchedulerState] | None = routing, state
        self._reason_index: Final = {stage: {"": 0} for stage in StageKind}
        self._rows: Final = {stage: bytearray() for stage in StageKind}
        self._choices: Final = {stage: bytearray() for stage in StageKind}
        # By request, from the choice until its instance is told to begin: reason and choice.
        self._chosen: Final = {stage: dict[int, tuple[int, int]]() for stage in StageKind}

    def reasons(self, stage: StageKind) -> list[str]:
        """Those that were given, by their index in the rows of a stage; the first is empty."""
        return list(self._reason_index[stage])

    def rows(self, stage: StageKind) -> Rows:
        """`START_ROW` of a stage. The log cannot grow while the view lives."""
        return np.frombuffer(self._rows[stage], START_ROW)

    def choices(self, stage: StageKind) -> Rows:
        """`CHOICE_ROW` of a stage, likewise."""
        return np.frombuffer(self._choices[stage], CHOICE_ROW)

    def chose(self, stage: StageKind, request_id: int, decision: Decision) -> None:
        """Log how the instances stood, and remember the reason until the instance is told."""
        reasons, choices = self._reason_index[stage], self._choices[stage]
        reason = reasons.setdefault(decision.reason, len(reasons))
        self._chosen[stage][request_id] = reason, len(choices) // CHOICE_ROW.itemsize
        choices += self._packed(stage, request_id, decision)

    def _packed(self, stage: StageKind, request_id: int, decision: Decision) -> bytes:
        assert self._core is not None
        routing, state = self._core
        if stage is StageKind.PREFILL:
            own_caches, cached = state.config.cache_mode is CacheMode.LOCAL, state.table.cached_tokens[request_id]
            found = standings(routing.prefill, decision.instance, cached, own_caches=own_caches)
        else:
            found = standings(routing.decode, decision.instance, NOWHERE)
        chosen, other = found
        return _pack_choice(request_id, *_values(chosen), *(_NOBODY if other is None else _values(other)))

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
            reason, choice = chosen.pop(request_id)
            rows += pack(request_id, said_ns, instance, reason, *moved, choice)

    def __getstate__(self) -> dict[str, Any]:
        """Live, rows and reasons go to the driver, and the core stays where it is."""
        return {**vars(self), "_core": None}


def _values(one: Standing) -> tuple[float, ...]:
    return one.instance, one.requests, one.tokens, one.hit_tokens, one.wait_ns, one.work_ns, one.score

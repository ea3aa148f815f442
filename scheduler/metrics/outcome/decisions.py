"""What was decided about each request, logged where the core answers: a tap sees what it is told, not what it says.

The log is put around the core's handlers of those messages that may be answered by a start, so that only who asked for
it pays, and other messages pay nothing. Rows are packed as in `collector`.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from struct import Struct
from typing import Any, Final

import numpy as np

from scheduler.metrics.columns import Rows
from scheduler.protocol.component import Outputs, TimerDue
from scheduler.protocol.messages import (
    DecodeStepped,
    ParkedSet,
    PartsChanged,
    PrefillStepped,
    PrefixesFound,
    RequestsArrived,
    RequestsCancelled,
    StartDecode,
    StartPrefill,
    TransferDone,
    TransferFailed,
    TransferOverdue,
    WorkersJoined,
    WorkersLost,
)

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
`reason` is an index of `DecisionLog.reasons`."""

NO_REASON: Final = 0
NO_FLOW: Final = (0, 0, 0, 0)

DECIDED_ON: Final = (
    RequestsArrived,
    PrefixesFound,
    TransferDone,
    TransferFailed,
    TransferOverdue,
    DecodeStepped,
    PartsChanged,
    WorkersLost,
    WorkersJoined,
    PrefillStepped,
    ParkedSet,
    RequestsCancelled,
    TimerDue,
)
"""What a core may answer by telling an instance to start: who waits is let through when others end, or in time."""


class DecisionLog:
    """What was logged; instances are indices within their role, as in the table.

    `reasons` are those that were given, by their index in the rows; `reasons[NO_REASON]` is empty: a decode instance is
    told none. Rows stand in the order of saying; a request that began again has several.
    """

    def __init__(self) -> None:
        self.reason_index: Final = {"": NO_REASON}
        self.prefill: Final = bytearray()
        self.decode: Final = bytearray()

    @property
    def reasons(self) -> list[str]:
        """By index."""
        return list(self.reason_index)

    def prefill_rows(self) -> Rows:
        """`START_ROW` of prefill. Of this and the next: the log cannot grow while the view lives."""
        return np.frombuffer(self.prefill, START_ROW)

    def decode_rows(self) -> Rows:
        """`START_ROW` of decode."""
        return np.frombuffer(self.decode, START_ROW)


Handler = Callable[[int, Any], Outputs]


def log_decisions(
    handlers: MutableMapping[type, Handler], prefill_addresses: Sequence[str], decode_addresses: Sequence[str]
) -> DecisionLog:
    """Put a log around the handlers of a core, of those messages that may be answered by a start."""
    log = DecisionLog()
    observe = _observer(log, prefill_addresses, decode_addresses)
    for kind in handlers.keys() & DECIDED_ON:
        handlers[kind] = _observed(handlers[kind], observe)
    return log


def _observed(handler: Handler, observe: Callable[[int, Any, Outputs], None]) -> Handler:
    def handle(now_ns: int, message: Any) -> Outputs:
        outputs = handler(now_ns, message)
        if outputs:
            observe(now_ns, message, outputs)
        return outputs

    return handle


def _observer(
    log: DecisionLog, prefill_addresses: Sequence[str], decode_addresses: Sequence[str]
) -> Callable[[int, Any, Outputs], None]:
    """Logs the starts among the answers to a message; a closure, because it is called for each of them."""
    indices = {
        address: index for addresses in (prefill_addresses, decode_addresses) for index, address in enumerate(addresses)
    }
    reasons, prefill, decode = log.reason_index, log.prefill, log.decode

    pack = _pack_start

    def observe(now_ns: int, cause: Any, outputs: Outputs) -> None:
        said: Any  # pyright could not follow which message it is
        for address, said in outputs:
            kind = said.__class__
            if kind is StartDecode:
                rows, reason = decode, NO_REASON
            elif kind is StartPrefill:
                rows, reason = prefill, reasons.setdefault(said.reason, len(reasons))
            else:
                continue
            ids: list[int] = said.ids
            if cause.__class__ is TransferDone:
                # Live, the core hears of it late, and answers as of the time at which it happened.
                said_ns, flow = cause.done_ns, (cause.duration_ns, cause.hidden_ns, cause.num_bytes, len(ids))
            else:
                said_ns, flow = now_ns, NO_FLOW
            index = indices[address]
            for request_id in ids:
                rows += pack(request_id, said_ns, index, reason, *flow)

    return observe

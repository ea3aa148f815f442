"""The records of a run as named columns, for programs: what `requests.csv` has, without text in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from scheduler.metrics.columns import Ints
from scheduler.metrics.records import CLASS_COLUMN, SESSION_COLUMN, Records
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import NO_SESSION

COUNTS: Final = ("prompt_tokens", "cached_tokens", "output_tokens", "preemptions", "retries")
STAMPS: Final = (
    *("arrived_ns", "prefill_started_ns", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns"),
)
DURATIONS: Final = ("queue_s", "prefill_s", "ttft_s", "hand_over_s", "tpot_s", "e2e_s")

REASONS: Final = tuple(reason.name.lower() for reason in FinishReason)

Column = NDArray[Any]


def record_columns(
    records: Records,
    prefill_addresses: Sequence[str],
    decode_addresses: Sequence[str],
    class_names: Sequence[str] = (),
) -> dict[str, Column]:
    """By name, each of shape (num_requests,), in the order of `requests.csv`.

    Numbers are integers or, of durations in seconds, floats, NaN where they are not defined; a time stamp that never
    came is -1. Names are strings, empty for none.
    """
    columns: dict[str, Column] = {
        "request_id": np.arange(records.num_requests),
        "finish_reason": _named(records.reason, REASONS),
        **{name: np.array(getattr(records, name)) for name in COUNTS},
        "prefill_instance": _named(records.prefill_instance, prefill_addresses),
        "decode_instance": _named(records.decode_instance, decode_addresses),
        **{name: np.array(getattr(records, name)) for name in (*STAMPS, *DURATIONS)},
    }
    if class_names:
        columns[CLASS_COLUMN] = _named(records.request_class, class_names)
    if (records.session != NO_SESSION).any():
        columns[SESSION_COLUMN] = np.array(records.session)
    return columns


def _named(column: Ints, names: Sequence[str]) -> Column:
    """NOT_YET is -1: it names the last, which is nobody."""
    return np.array([*names, ""])[column]

"""One record per request, read from the table's columns: the only place that defines the latencies of a request.

Times count in emulated time from the request's arrival at the gateway, as a vLLM server counts them, so there is no
client's network in them. With `-` for "until":

    queue       arrival - start of the first prefill pass with a chunk of it; includes fetching cached KV
    prefill     that start - first token
    TTFT        arrival - first token; queue + prefill
    KV transfer   first token - start of decode: waiting for room, moving KV, waiting for a step boundary
    TPOT        (last token - first token) / (output tokens - 1); only for outputs of at least 2 tokens
    E2E         arrival - last token

Queue, prefill and TTFT are known of every request that got so far, however it ended, so that failing late does not
polish them. TPOT and E2E need a last token and are known of finished requests only. Of a request that is requeued, for
lack of room or because a worker was lost, the table keeps the first token, the start of the prefill that made it and
the last start of decode, so that its KV transfer is not defined. Inter-token latency is pooled over steps: see `gaps`.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.columns import Bools, Floats, Ints, seconds_between, view
from scheduler.metrics.outcome.later_part import later_times
from scheduler.protocol.finish import FINISHED, FinishReason
from scheduler.protocol.messages import NO_SESSION

FILE_NAME: Final = "requests.csv"
CLASS_COLUMN: Final = "class"
SESSION_COLUMN: Final = "session"
CSV_ROWS: Final = 8192
"""Rows that are formatted at once."""

_IS_FINISHED: Final = np.isin(np.arange(len(FinishReason)), FINISHED)
"""By reason."""


class Records:
    """Columns by request id, or of the requests `ids` in that order; times in integer nanoseconds, `NOT_YET` where they
    never came.

    Times count from `origin_ns`. The raw columns of all requests are views: the table cannot grow as long as they live.
    Those of some are copies.
    Derived columns are seconds, NaN where they are not defined, and computed when first asked for. All columns have
    shape (num_requests,).
    """

    def __init__(self, table: RequestTable, ids: Sequence[int] | Ints | None = None, origin_ns: int = 0) -> None:
        num_requests = table.num_requests
        index = None if ids is None else np.array(ids, np.intp)

        def times(of_all: array[int]) -> Ints:
            rows = column(of_all)
            return later_times(rows, origin_ns, NOT_YET) if origin_ns else rows

        def column(of_all: array[int] | bytearray) -> Ints:
            rows = view(of_all, num_requests)
            return rows if index is None else rows[index]

        self.num_requests = num_requests if ids is None else len(ids)
        self.reason: Final = column(table.reason)
        self.request_class: Final = column(table.request_class)
        self.session: Final = column(table.session)
        self.preemptions: Final = column(table.preemptions)
        self.retries: Final = column(table.retries)
        self.prefill_instance: Final = column(table.prefill_instance)
        self.decode_instance: Final = column(table.decode_instance)
        self.prompt_tokens: Final = column(table.prompt_tokens)
        self.cached_tokens: Final = column(table.cached_tokens)
        self.output_tokens: Final = column(table.output_tokens)
        self.arrived_ns: Final = times(table.arrived_ns)
        self.prefill_started_ns: Final = times(table.prefill_started_ns)
        self.first_token_ns: Final = times(table.first_token_ns)
        self.decode_started_ns: Final = times(table.decode_started_ns)
        self.last_token_ns: Final = times(table.last_token_ns)
        self.ended_ns: Final = times(table.ended_ns)

    @cached_property
    def is_finished(self) -> Bools:
        """Whether all of the answer was produced."""
        return _IS_FINISHED[self.reason]

    @cached_property
    def has_started(self) -> Bools:
        """Whether any of the prompt was prefilled."""
        return self.prefill_started_ns != NOT_YET

    @cached_property
    def has_first_token(self) -> Bools:
        """Whether a first token came out."""
        return self.first_token_ns != NOT_YET

    @cached_property
    def queue_s(self) -> Floats:
        """Arrival to prefill start."""
        return seconds_between(self.arrived_ns, self.prefill_started_ns, self.has_started)

    @cached_property
    def prefill_s(self) -> Floats:
        """Prefill start to first token."""
        return seconds_between(self.prefill_started_ns, self.first_token_ns, self.has_first_token)

    @cached_property
    def ttft_s(self) -> Floats:
        """Arrival to first token."""
        return seconds_between(self.arrived_ns, self.first_token_ns, self.has_first_token)

    @cached_property
    def hand_over_s(self) -> Floats:
        """First token to decode start, of requests that were never requeued."""
        is_defined = (self.decode_started_ns != NOT_YET) & (self.preemptions == 0) & (self.retries == 0)
        return seconds_between(self.first_token_ns, self.decode_started_ns, is_defined)

    @cached_property
    def tpot_s(self) -> Floats:
        """Time per output token after the first, of finished requests with at least two."""
        is_defined = self.is_finished & (self.output_tokens >= 2)
        seconds = seconds_between(self.first_token_ns, self.last_token_ns, is_defined)
        return seconds / np.maximum(self.output_tokens - 1, 1)

    @cached_property
    def e2e_s(self) -> Floats:
        """Arrival to last token, of finished requests."""
        return seconds_between(self.arrived_ns, self.last_token_ns, self.is_finished)


def write_records(
    directory: Path,
    records: Records,
    prefill_addresses: Sequence[str],
    decode_addresses: Sequence[str],
    class_names: Sequence[str] = (),
) -> Path:
    """Write `requests.csv`, one row per request in the order of ids; returns its path.

    Time stamps are integer nanoseconds, durations seconds with 9 significant digits; what never happened is empty. The
    addresses are the core's instances by index. With classes (by index, the first of those who have none) a column
    names them, and where any request has a session the last has its number. The file appears when it is complete, or
    not at all.
    """
    path = directory / FILE_NAME
    partial = directory / f"{FILE_NAME}.partial"
    try:
        with partial.open("w", encoding="ascii", newline="") as file:
            for text in _csv_texts(records, prefill_addresses, decode_addresses, class_names):
                file.write(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _csv_texts(
    records: Records,
    prefill_addresses: Sequence[str],
    decode_addresses: Sequence[str],
    class_names: Sequence[str],
) -> Iterator[str]:
    """The header, then some thousand lines at a time, each written by one format for all of its columns."""
    reasons = [reason.name.lower() for reason in FinishReason]
    stamps = ("arrived_ns", "prefill_started_ns", "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns")
    durations = ("queue_s", "prefill_s", "ttft_s", "hand_over_s", "tpot_s", "e2e_s")
    counts = ("prompt_tokens", "cached_tokens", "output_tokens", "preemptions", "retries")
    columns: dict[str, Callable[[slice], _Cells]] = {
        "request_id": lambda part: ("%d", range(part.start, part.stop)),
        "finish_reason": _named(records.reason, reasons),
        **{name: _counts(getattr(records, name)) for name in counts},
        "prefill_instance": _named(records.prefill_instance, prefill_addresses),
        "decode_instance": _named(records.decode_instance, decode_addresses),
        **{name: _stamps(getattr(records, name)) for name in stamps},
        **{name: _durations(getattr(records, name)) for name in durations},
    }
    if class_names:
        columns[CLASS_COLUMN] = _named(records.request_class, class_names)
    if (records.session != NO_SESSION).any():
        columns[SESSION_COLUMN] = _stamps(records.session)
    yield ",".join(columns) + "\n"
    for begin in range(0, records.num_requests, CSV_ROWS):
        part = slice(begin, min(begin + CSV_ROWS, records.num_requests))
        forms, cells = zip(*(column(part) for column in columns.values()), strict=True)
        line = ",".join(forms) + "\n"
        yield "".join([line % row for row in zip(*cells, strict=True)])


_Cells = tuple[str, Sequence[object]]
"""How a cell of a column is formatted, and the cells."""


def _named(column: Ints, names: Sequence[str]) -> Callable[[slice], _Cells]:
    listed = [*names, ""]  # NOT_YET is -1: it names the last

    def cells(part: slice) -> _Cells:
        indices: list[int] = column[part].tolist()
        return "%s", [listed[index] for index in indices]

    return cells


def _counts(column: Ints) -> Callable[[slice], _Cells]:
    return lambda part: ("%d", column[part].tolist())


def _stamps(column: Ints) -> Callable[[slice], _Cells]:
    return lambda part: _blanked("%d", column[part].tolist(), column[part] == NOT_YET)


def _durations(column: Floats) -> Callable[[slice], _Cells]:
    return lambda part: _blanked("%.9g", column[part].tolist(), np.isnan(column[part]))


def _blanked(form: str, cells: list[object], is_missing: Bools) -> _Cells:
    """Only a column in which something is missing has to become text of its own."""
    missing = np.flatnonzero(is_missing).tolist()
    if not missing:
        return form, cells
    texts: list[object] = [form % cell for cell in cells]
    for index in missing:
        texts[index] = ""
    return "%s", texts

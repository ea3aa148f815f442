"""Keeps apart by engine what live totals add up: counts as messages come, latencies of records, open requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from scheduler.core.lifecycle import State
from scheduler.core.request_table import RequestTable
from scheduler.metrics.buckets import (
    REQUEST_BOUNDS_S,
    STEP_TOKEN_BOUNDS,
    TOKEN_BOUNDS_S,
    TOKEN_COUNT_BOUNDS,
    TTFT_BOUNDS_S,
    BucketCounts,
    BucketRows,
)
from scheduler.metrics.columns import Bools, Ints, seconds_between, view
from scheduler.metrics.live.engine_totals import EngineTotals
from scheduler.metrics.live.snapshot import END_REASONS, Layout
from scheduler.metrics.records import Records
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import PrefillStepped

Numbers: TypeAlias = npt.NDArray[np.integer[Any] | np.float64]

NONE: Final = -1
"""The row of a request that has no engine."""


def _by_state(*states: State) -> Bools:
    """A table to look states up in."""
    return np.isin(np.arange(len(State)), states)


_AT_PREFILL: Final = _by_state(
    State.FETCHING, State.PREFILL_QUEUED, State.PREFILLING, State.PREFILLING_RESERVED
)  # fmt: skip
_AT_DECODE: Final = _by_state(State.PREFILLED, State.TRANSFERRING_KV, State.DECODE_QUEUED, State.DECODING)
_AT_WORK: Final = _by_state(State.PREFILLING, State.PREFILLING_RESERVED, State.DECODING)
_HOLDS_PREFILL_KV: Final = _by_state(
    State.PREFILLING, State.PREFILLING_RESERVED, State.PREFILLED, State.TRANSFERRING_KV
)  # fmt: skip


class EngineCounts:
    """What is counted of one engine as messages come."""

    __slots__ = ("generation_tokens", "hit_tokens", "itl_s", "lookup_tokens", "preemptions", "step_tokens")

    def __init__(self) -> None:
        self.generation_tokens = 0
        self.lookup_tokens = 0
        self.hit_tokens = 0
        self.preemptions = 0
        self.itl_s: Final = BucketCounts(TOKEN_BOUNDS_S)
        self.step_tokens: Final = BucketCounts(STEP_TOKEN_BOUNDS)

    def end_pass(self, message: PrefillStepped) -> None:
        """A pass of a prefill instance ended, if there was one."""
        num_done = len(message.prefilled_ids)
        self.generation_tokens += num_done
        if num_tokens := message.computed_tokens + num_done:
            self.step_tokens.add(num_tokens, 1, num_tokens)


class LiveEngines:
    """Rows are instances in the order of the layout: those of prefill in the core's order, then those of decode.

    `counts` are by address.
    """

    def __init__(self, layout: Layout) -> None:
        instances = layout.instances
        self.counts: Final = {one.address: EngineCounts() for one in instances}
        self._prefill_rows = np.array([row for row, one in enumerate(instances) if one.role == "prefill"], np.intp)
        self._decode_rows = np.array([row for row, one in enumerate(instances) if one.role == "decode"], np.intp)
        self._kv_capacity_tokens = [one.kv_capacity_tokens for one in instances]
        self._num = num = len(instances)
        self._prompt_tokens = np.zeros(num, np.int64)
        self._ended = np.zeros((num, len(FinishReason)), np.int64)
        self._ttft_s = BucketRows(TTFT_BOUNDS_S, num)
        self._tpot_s = BucketRows(TOKEN_BOUNDS_S, num)
        self._e2e_s = BucketRows(REQUEST_BOUNDS_S, num)
        self._queue_s = BucketRows(REQUEST_BOUNDS_S, num)
        self._prefill_s = BucketRows(REQUEST_BOUNDS_S, num)
        self._decode_s = BucketRows(REQUEST_BOUNDS_S, num)
        self._inference_s = BucketRows(REQUEST_BOUNDS_S, num)
        self._request_prompt_tokens = BucketRows(TOKEN_COUNT_BOUNDS, num)
        self._request_output_tokens = BucketRows(TOKEN_COUNT_BOUNDS, num)

    def drain(self, first: Records, ended: Records) -> None:
        """Count those whose first token came out, and those who ended."""
        at_prefill = self._rows_of(self._prefill_rows, first.prefill_instance)
        self._prompt_tokens += np.bincount(
            at_prefill[at_prefill >= 0], first.prompt_tokens[at_prefill >= 0], self._num
        ).astype(np.int64)
        self._ttft_s.add_all(at_prefill, first.ttft_s)
        self._queue_s.add_all(at_prefill, first.queue_s)
        self._prefill_s.add_all(at_prefill, first.prefill_s)
        if not ended.num_requests:
            return
        began_at = self._rows_of(self._prefill_rows, ended.prefill_instance)
        decoded_at = self._rows_of(self._decode_rows, ended.decode_instance)
        rows = np.where(decoded_at >= 0, decoded_at, began_at)
        self._queue_s.add_all(np.where(ended.has_first_token, NONE, began_at), ended.queue_s)
        self._tpot_s.add_all(rows, ended.tpot_s)
        self._e2e_s.add_all(rows, ended.e2e_s)
        is_finished = ended.is_finished
        self._decode_s.add_all(rows, seconds_between(ended.first_token_ns, ended.last_token_ns, is_finished))
        self._inference_s.add_all(rows, seconds_between(ended.prefill_started_ns, ended.last_token_ns, is_finished))
        of_finished = np.where(is_finished, rows, NONE)
        self._request_prompt_tokens.add_all(of_finished, ended.prompt_tokens.astype(float))
        self._request_output_tokens.add_all(of_finished, ended.output_tokens.astype(float))
        np.add.at(self._ended, (rows[rows >= 0], ended.reason[rows >= 0]), 1)

    @staticmethod
    def _rows_of(rows: Ints, instances: Ints) -> Ints:
        """The row of each instance by its index in the core; `NONE` where there is none."""
        return np.append(rows, NONE)[instances] if len(rows) else np.full(len(instances), NONE)

    def totals(self, table: RequestTable | None, first_open: int, kv_usage: Sequence[float]) -> EngineTotals:
        """As they stand; requests of the table below `first_open` have ended. `kv_usage` is known of decode only."""
        running, waiting, held = self._open(table, first_open)
        counts = self.counts.values()
        usage = [
            used or (tokens / room if room else 0.0)
            for used, tokens, room in zip(kv_usage, held, self._kv_capacity_tokens, strict=True)
        ]
        return EngineTotals(
            running=tuple(running),
            waiting=tuple(waiting),
            kv_usage=tuple(usage),
            prompt_tokens=tuple(self._prompt_tokens.tolist()),
            generation_tokens=tuple(one.generation_tokens for one in counts),
            lookup_tokens=tuple(one.lookup_tokens for one in counts),
            hit_tokens=tuple(one.hit_tokens for one in counts),
            preemptions=tuple(one.preemptions for one in counts),
            ended=tuple(map(tuple, self._ended[:, END_REASONS].tolist())),
            ttft_s=self._ttft_s.totals(),
            itl_s=tuple(one.itl_s.totals() for one in counts),
            tpot_s=self._tpot_s.totals(),
            e2e_s=self._e2e_s.totals(),
            queue_s=self._queue_s.totals(),
            prefill_s=self._prefill_s.totals(),
            decode_s=self._decode_s.totals(),
            inference_s=self._inference_s.totals(),
            request_prompt_tokens=self._request_prompt_tokens.totals(),
            request_output_tokens=self._request_output_tokens.totals(),
            step_tokens=tuple(one.step_tokens.totals() for one in counts),
        )

    def _open(self, table: RequestTable | None, first_open: int) -> tuple[list[int], list[int], list[int]]:
        """Of each row: requests at work, requests that wait, KV tokens that a prefill instance holds for them."""
        if table is None or not table.num_open:
            return [0] * self._num, [0] * self._num, [0] * self._num
        num, num_states = table.num_requests, len(State)
        state = view(table.state, num)[first_open:]
        began_at = view(table.prefill_instance, num)[first_open:]
        decodes_at = view(table.decode_instance, num)[first_open:]
        # One count by (decode instance, prefill instance, state), 0 for none: many may be open.
        num_prefill, num_decode = len(self._prefill_rows) + 1, len(self._decode_rows) + 1
        cells = decodes_at.astype(np.int32) + 1
        cells *= num_prefill
        cells += began_at + 1
        cells *= num_states
        cells += state
        counts = np.bincount(cells, minlength=num_decode * num_prefill * num_states)
        by_cell = counts.reshape(num_decode, num_prefill, num_states)
        by_prefill, by_decode = by_cell.sum(axis=0)[1:], by_cell.sum(axis=1)[1:]
        running = self._by_row(by_prefill[:, _AT_PREFILL & _AT_WORK], by_decode[:, _AT_DECODE & _AT_WORK])
        waiting = self._by_row(by_prefill[:, _AT_PREFILL & ~_AT_WORK], by_decode[:, _AT_DECODE & ~_AT_WORK])
        holders = np.flatnonzero(_HOLDS_PREFILL_KV[state])
        tokens = view(table.prompt_tokens, num)[first_open:][holders]
        tokens += view(table.output_tokens, num)[first_open:][holders]
        held = np.bincount(began_at[holders] + 1, tokens, num_prefill)[1:, np.newaxis]
        return running, waiting, self._by_row(held, by_decode[:, :0])

    def _by_row(self, of_prefill: Numbers, of_decode: Numbers) -> list[int]:
        """The sum of each line, of prefill instances and of decode instances, in the order of rows."""
        sums = np.zeros(self._num, np.int64)
        sums[self._prefill_rows] = of_prefill.sum(axis=1)
        sums[self._decode_rows] = of_decode.sum(axis=1)
        return sums.tolist()

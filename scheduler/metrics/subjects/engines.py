"""Each instance as an engine: what stands at it, what it produced, and the latencies of its requests.

These totals are live only: a summary says no more of an instance than its load. Sums over engines are those of the
system, so that whatever is told apart here (output tokens, gaps, preemptions, look-ups) is counted here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from scheduler.core.lifecycle import State
from scheduler.core.request_table import NOT_YET, RequestTable
from scheduler.metrics.begun_prefills import begun_tokens
from scheduler.metrics.bucket_bounds import (
    TOKEN_BOUNDS_S,
    VLLM_REQUEST_BOUNDS_S,
    VLLM_STEP_TOKEN_BOUNDS,
    VLLM_TOKEN_BOUNDS_S,
    VLLM_TOKEN_COUNT_BOUNDS,
    VLLM_TTFT_BOUNDS_S,
    grid,
)
from scheduler.metrics.buckets import BucketCounts, BucketRows, HistogramTotals
from scheduler.metrics.columns import NS_PER_S, Bools, Ints, seconds_between, view
from scheduler.metrics.family import INSTANCE, Family, Labels, by_instance
from scheduler.metrics.layout import Layout, LiveInstance, StageName, is_of_stage
from scheduler.metrics.records import Records
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import SUBJECTS, Account, Handlers, Session, Subject
from scheduler.metrics.subjects.decode_tally import DecodeTally
from scheduler.metrics.subjects.requests import END_REASONS
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import DecodeStepped, PrefillStepped, WorkersLost

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


class EngineTotals(Struct, frozen=True):
    """Each field has an entry per instance, in the order of `Layout.instances`.

    A request counts at the prefill instance that made its first token, by `ttft_s`, `queue_s`, `prefill_s` and
    `prompt_tokens`; as it ends at its decode instance, or at its prefill instance if it came no further, by all else.
    Of those that never had an instance nothing counts. `running` and `waiting` stand at the instance or are on their
    way to it; `kv_usage` is the share of its KV room that is taken. `ended` is in the order of `END_REASONS`.
    Intervals are those of a vLLM server: decode from first to last token, inference from the start of prefill to the
    last token. `step_tokens` are the tokens of each pass or step.
    """

    running: tuple[int, ...]
    waiting: tuple[int, ...]
    kv_usage: tuple[float, ...]
    prompt_tokens: tuple[int, ...]
    generation_tokens: tuple[int, ...]
    lookup_tokens: tuple[int, ...]
    hit_tokens: tuple[int, ...]
    preemptions: tuple[int, ...]
    ended: tuple[tuple[int, ...], ...]
    ttft_s: Sequence[HistogramTotals]
    itl_s: Sequence[HistogramTotals]
    tpot_s: Sequence[HistogramTotals]
    e2e_s: Sequence[HistogramTotals]
    queue_s: Sequence[HistogramTotals]
    prefill_s: Sequence[HistogramTotals]
    decode_s: Sequence[HistogramTotals]
    inference_s: Sequence[HistogramTotals]
    request_prompt_tokens: Sequence[HistogramTotals]
    request_output_tokens: Sequence[HistogramTotals]
    step_tokens: Sequence[HistogramTotals]


ITL_GRID_S: Final = grid(TOKEN_BOUNDS_S, VLLM_TOKEN_BOUNDS_S)
"""Gaps between tokens are counted by engine alone, for the names of vLLM and, added up, for our own."""

_BOUNDS: Final[dict[str, tuple[float, ...]]] = {
    "ttft_s": VLLM_TTFT_BOUNDS_S,
    "tpot_s": VLLM_TOKEN_BOUNDS_S,
    "e2e_s": VLLM_REQUEST_BOUNDS_S,
    "queue_s": VLLM_REQUEST_BOUNDS_S,
    "prefill_s": VLLM_REQUEST_BOUNDS_S,
    "decode_s": VLLM_REQUEST_BOUNDS_S,
    "inference_s": VLLM_REQUEST_BOUNDS_S,
    "request_prompt_tokens": VLLM_TOKEN_COUNT_BOUNDS,
    "request_output_tokens": VLLM_TOKEN_COUNT_BOUNDS,
}
"""Upper bounds of the buckets of those histograms of `EngineTotals` that are told from records."""


class EngineCounts:
    """What is counted of one engine as messages come."""

    __slots__ = ("generation_tokens", "hit_tokens", "itl_s", "lookup_tokens", "preemptions", "step_tokens")

    def __init__(self) -> None:
        self.generation_tokens = 0
        self.lookup_tokens = 0
        self.hit_tokens = 0
        self.preemptions = 0
        self.itl_s: Final = BucketCounts(ITL_GRID_S)
        self.step_tokens: Final = BucketCounts(VLLM_STEP_TOKEN_BOUNDS)

    def begin_prefills(self, table: RequestTable, message: PrefillStepped) -> None:
        """Prefills began."""
        lookup_tokens, hit_tokens = begun_tokens(table, message)
        self.lookup_tokens += lookup_tokens
        self.hit_tokens += hit_tokens

    def end_pass(self, message: PrefillStepped) -> None:
        """A pass of a prefill instance ended, if there was one."""
        num_done = len(message.prefilled_ids)
        self.generation_tokens += num_done
        if num_tokens := message.computed_tokens + num_done:
            self.step_tokens.add(num_tokens, 1, num_tokens)


class EngineAccount(Account[EngineTotals]):
    """Rows are instances in the order of the layout: those of prefill in the core's order, those of decode, then those
    that are both.

    `_counts` are by address; `_tallies` those of the session's decode instances.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        instances = layout.instances
        self._counts = {one.address: EngineCounts() for one in instances}
        self._tallies: dict[str, DecodeTally] = {}
        self._prefill_rows = _rows_of_stage(instances, "prefill")
        self._decode_rows = _rows_of_stage(instances, "decode")
        self._num = num = len(instances)
        self._prompt_tokens = np.zeros(num, np.int64)
        self._ended = np.zeros((num, len(FinishReason)), np.int64)
        self._histograms = {name: BucketRows(bounds, num) for name, bounds in _BOUNDS.items()}

    def handlers(self) -> Handlers:
        """Passes and steps; what a lost worker held is gone."""
        return {
            PrefillStepped: self._on_prefill_stepped,
            DecodeStepped: self._on_decode_stepped,
            WorkersLost: self._on_workers_lost,
        }

    def begin(self, session: Session) -> None:
        """No sequence runs yet."""
        decode = [one for one in self.layout.instances if is_of_stage(one.role, "decode")]
        self._tallies = {one.address: DecodeTally() for one in decode}

    def _on_prefill_stepped(self, session: Session, message: PrefillStepped) -> None:
        table, counts = session.table, self._counts[message.instance]
        if message.started_ids and self.layout.has_prefix_cache:
            counts.begin_prefills(table, message)
        counts.end_pass(message)
        first_ns, last_ns = table.first_token_ns, table.last_token_ns
        for request_id in message.prefilled_ids:
            if first_ns[request_id] != NOT_YET:  # computed again: a gap that no decode step shows
                gap_s = (message.boundary_ns - last_ns[request_id]) / NS_PER_S
                counts.itl_s.add(gap_s, 1, gap_s)

    def _on_decode_stepped(self, session: Session, message: DecodeStepped) -> None:
        address, num_steps = message.instance, message.num_steps
        table, tally, counts = session.table, self._tallies[address], self._counts[address]
        num_tokens = 0
        if num_steps:
            num_tokens = tally.step(message, counts.itl_s)
            counts.step_tokens.add(num_tokens / num_steps, num_steps, num_tokens)
        if message.started_ids:
            tally.join(message.started_ids, message.boundary_ns, table.last_token_ns)
        if message.finished_ids:
            num_tokens -= tally.leave(message.finished_ids, message.finished_tokens, table.output_tokens)
        if message.preempted_ids:
            num_tokens -= tally.leave(message.preempted_ids, message.preempted_tokens, table.output_tokens)
            counts.preemptions += len(message.preempted_ids)
        tally.kv_tokens = message.kv_tokens
        counts.generation_tokens += num_tokens

    def _on_workers_lost(self, _session: Session, message: WorkersLost) -> None:
        for address in message.addresses:
            if address in self._tallies:
                self._tallies[address].lose()

    def drain(self, first: Records, ended: Records) -> None:
        """Count those whose first token came out, and those who ended."""
        at_prefill = self._rows_of(self._prefill_rows, first.prefill_instance)
        self._prompt_tokens += np.bincount(
            at_prefill[at_prefill >= 0], first.prompt_tokens[at_prefill >= 0], self._num
        ).astype(np.int64)
        histograms = self._histograms
        histograms["ttft_s"].add_all(at_prefill, first.ttft_s)
        histograms["queue_s"].add_all(at_prefill, first.queue_s)
        histograms["prefill_s"].add_all(at_prefill, first.prefill_s)
        if not ended.num_requests:
            return
        began_at = self._rows_of(self._prefill_rows, ended.prefill_instance)
        decoded_at = self._rows_of(self._decode_rows, ended.decode_instance)
        rows = np.where(decoded_at >= 0, decoded_at, began_at)
        histograms["queue_s"].add_all(np.where(ended.has_first_token, NONE, began_at), ended.queue_s)
        histograms["tpot_s"].add_all(rows, ended.tpot_s)
        histograms["e2e_s"].add_all(rows, ended.e2e_s)
        is_finished = ended.is_finished
        histograms["decode_s"].add_all(rows, seconds_between(ended.first_token_ns, ended.last_token_ns, is_finished))
        histograms["inference_s"].add_all(
            rows, seconds_between(ended.prefill_started_ns, ended.last_token_ns, is_finished)
        )
        of_finished = np.where(is_finished, rows, NONE)
        histograms["request_prompt_tokens"].add_all(of_finished, ended.prompt_tokens.astype(float))
        histograms["request_output_tokens"].add_all(of_finished, ended.output_tokens.astype(float))
        np.add.at(self._ended, (rows[rows >= 0], ended.reason[rows >= 0]), 1)

    @staticmethod
    def _rows_of(rows: Ints, instances: Ints) -> Ints:
        """The row of each instance by its index in the core, `NONE` where there is none; shaped like `instances`."""
        return np.append(rows, NONE)[instances] if len(rows) else np.full(len(instances), NONE)

    def totals(self, session: Session | None) -> EngineTotals:
        """As they stand."""
        running, waiting, held = self._open(session)
        counts, tallies = self._counts.values(), {} if session is None else self._tallies
        kv_tokens = [
            tallies[one.address].kv_tokens + of_prefill if one.address in tallies else of_prefill
            for one, of_prefill in zip(self.layout.instances, held, strict=True)
        ]
        usage = [
            tokens / one.kv_capacity_tokens if one.kv_capacity_tokens else 0.0
            for one, tokens in zip(self.layout.instances, kv_tokens, strict=True)
        ]
        return EngineTotals(
            running=tuple(running),
            waiting=tuple(waiting),
            kv_usage=tuple(usage),
            prompt_tokens=tuple(self._prompt_tokens.tolist()),
            ended=tuple(map(tuple, self._ended[:, END_REASONS].tolist())),
            itl_s=tuple(one.itl_s.totals() for one in counts),
            step_tokens=tuple(one.step_tokens.totals() for one in counts),
            generation_tokens=tuple(one.generation_tokens for one in counts),
            lookup_tokens=tuple(one.lookup_tokens for one in counts),
            hit_tokens=tuple(one.hit_tokens for one in counts),
            preemptions=tuple(one.preemptions for one in counts),
            **{name: rows.totals() for name, rows in self._histograms.items()},
        )

    def _open(self, session: Session | None) -> tuple[list[int], list[int], list[int]]:
        """Of each row: requests at work, requests that wait, KV tokens that a prefill instance holds for them."""
        if session is None or not session.table.num_open:
            return [0] * self._num, [0] * self._num, [0] * self._num
        table, first_open = session.table, session.first_open
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
        """By row the sums over the last axis, of shapes (num_prefill, any) and (num_decode, any)."""
        sums = np.zeros(self._num, np.int64)
        sums[self._prefill_rows] += of_prefill.sum(axis=1).astype(np.int64)
        sums[self._decode_rows] += of_decode.sum(axis=1).astype(np.int64)
        return sums.tolist()


def _rows_of_stage(instances: Sequence[LiveInstance], stage: StageName) -> npt.NDArray[np.intp]:
    return np.array([row for row, one in enumerate(instances) if is_of_stage(one.role, stage)], np.intp)


def _by_work_state(layout: Layout) -> list[Labels]:
    return [(*labels, state) for state in WORK_STATES for labels in by_instance(layout)]


def _decode_kv_usage(snapshot: Snapshot) -> list[float]:
    pairs = zip(snapshot.layout.instances, snapshot[EngineTotals].kv_usage, strict=True)
    return [usage for instance, usage in pairs if is_of_stage(instance.role, "decode")]


def _of_decode(layout: Layout) -> list[Labels]:
    return [
        labels
        for one, labels in zip(layout.instances, by_instance(layout), strict=True)
        if is_of_stage(one.role, "decode")
    ]


WORK_STATES: Final = ("running", "waiting")

FAMILIES: Final = (
    Family(
        "supernode_instance_requests", "gauge", "Requests that an instance works on, and that wait for it.",
        lambda s: (*s[EngineTotals].running, *s[EngineTotals].waiting), (*INSTANCE, "state"), _by_work_state,
    ),
    Family(
        "supernode_kv_usage_ratio", "gauge", "KV tokens that a decode instance holds, over its capacity.",
        _decode_kv_usage, INSTANCE, _of_decode,
    ),
)  # fmt: skip

SUBJECTS.register("engines", Subject(EngineTotals, EngineAccount, FAMILIES))

"""The course of a run in a few hundred steps of equal length, made from its logs when it has ended.

Nothing is sampled while a run goes, so that it pays nothing: times of requests, accounts of instances and ends of flows
are all in the logs, and what lies between two of them is known. A request in stage from a to b counts in each step with
the share of the step that it was there; tokens of an answer and bytes of a flow are spread evenly over their time. So
the steps of a column add up to the totals of the summary, whatever their length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct

from scheduler.core.request_table import NOT_YET
from scheduler.metrics.columns import NS_PER_S, Bools, Floats, Ints, Rows
from scheduler.metrics.layout import is_of_stage
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.usage import powered_ns, with_powerless_gaps
from scheduler.metrics.records import Records
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FAILED, FINISHED, REJECTED

MAX_STEPS: Final = 600
"""Steps of a run, whatever its span."""

SHORTEST_STEP_S: Final = 0.001

STEP_DIGITS: Final = (1.0, 2.0, 5.0)
"""A step is one of these times a power of ten."""


class Timeline(Struct, frozen=True):
    """`step_s`: the length of each step but the last, which ends with the run at `span_s`. Columns are by name, of
    shape (num_steps,); `docs/run-folder.md` says what each is."""

    step_s: float
    span_s: float
    columns: Mapping[str, Floats]


def timeline(collector: Collector, records: Records) -> Timeline:
    """The course of a run that has ended; without any time it has no steps."""
    span_s = collector.ended_ns / NS_PER_S
    edges = step_edges(span_s)
    columns = {"time_s": edges[:-1]}
    columns |= _request_columns(records, edges)
    columns |= _stage_columns(records, edges)
    columns |= _token_columns(records, edges)
    columns |= _cache_columns(collector, edges)
    columns |= _plane_columns(collector, edges)
    columns |= _instance_columns(collector, edges)
    columns |= kv_columns(collector, records, edges)
    return Timeline(step_for(span_s), span_s, columns)


def step_edges(span_s: float) -> Floats:
    """Where steps begin, and the end of the last, shape (num_steps + 1,)."""
    return np.append(np.arange(0.0, span_s, step_for(span_s)), span_s) if span_s else np.zeros(1)


def step_for(span_s: float) -> float:
    """The shortest round step of which `MAX_STEPS` cover the span."""
    decade = SHORTEST_STEP_S
    while True:
        for digit in STEP_DIGITS:
            if span_s <= digit * decade * MAX_STEPS:
                return digit * decade
        decade *= 10


def _request_columns(records: Records, edges: Floats) -> dict[str, Floats]:
    """Requests that arrived and ended in each step."""
    columns = {"arrived": _counted(records.arrived_ns, edges)}
    for name, reasons in (("finished", FINISHED), ("rejected", REJECTED), ("failed", FAILED)):
        columns[name] = _counted(records.ended_ns[np.isin(records.reason, reasons)], edges)
    return columns


def _stage_columns(records: Records, edges: Floats) -> dict[str, Floats]:
    """Mean number of requests in each stage; a request leaves its last one when it ends."""
    ended = records.ended_ns
    entered = (
        ("waiting_prefill", records.arrived_ns),
        ("in_prefill", records.prefill_started_ns),
        ("in_hand_over", records.first_token_ns),
        ("in_decode", records.decode_started_ns),
    )
    columns: dict[str, Floats] = {}
    for place, (name, begin) in enumerate(entered):
        end = ended
        for _, later in reversed(entered[place + 1 :]):
            end = np.where(later != NOT_YET, later, end)
        columns[name] = _mean_present(begin, end, begin != NOT_YET, edges)
    return columns


def _token_columns(records: Records, edges: Floats) -> dict[str, Floats]:
    """Tokens per second."""
    has_first = records.has_first_token
    output = records.output_tokens - has_first
    end = np.where(records.last_token_ns > records.decode_started_ns, records.last_token_ns, records.ended_ns)
    later = _spread(records.decode_started_ns, end, output, (records.decode_started_ns != NOT_YET), edges)
    # Of a request that were requeued the last start of decode is known: what came before it counts there too.
    seconds = _seconds(edges)
    return {
        "input_tokens_per_s": _summed(records.first_token_ns, records.prompt_tokens, has_first, edges) / seconds,
        "output_tokens_per_s": (_counted(records.first_token_ns[has_first], edges) + later) / seconds,
    }


def _cache_columns(collector: Collector, edges: Floats) -> dict[str, Floats]:
    """Prompt tokens of the prefills that began in each step, and those of them that came from a cache."""
    rows = collector.begun_rows()
    is_all = np.ones(len(rows), np.bool_)
    return {name: _summed(rows["boundary_ns"], rows[name], is_all, edges) for name in ("lookup_tokens", "hit_tokens")}


def _plane_columns(collector: Collector, edges: Floats) -> dict[str, Floats]:
    """Bytes per second on each plane."""
    columns: dict[str, Floats] = {}
    for plane in Plane:
        rows = collector.transfer_rows(plane)
        begin, end = rows["done_ns"] - rows["duration_ns"], rows["done_ns"]
        moved = _spread(begin, end, rows["num_bytes"], np.ones(len(rows), np.bool_), edges)
        columns[f"{plane.name.lower()}_bytes_per_s"] = moved / _seconds(edges)
    return columns


def _instance_columns(collector: Collector, edges: Floats) -> dict[str, Floats]:
    """Busy share and watts of each instance."""
    edges_ns, seconds = edges * NS_PER_S, _seconds(edges)
    columns: dict[str, Floats] = {}
    for address, own in _accounts(collector).items():
        columns[f"busy:{address}"] = _course(own, own["busy_ns"], edges_ns) / NS_PER_S / seconds
        columns[f"watts:{address}"] = _course(own, own["joules"], edges_ns) / seconds
    return columns


def presence(collector: Collector, edges: Floats) -> dict[str, Floats]:
    """For which share of each step each instance had its NPUs, by address, shape (num_steps,)."""
    edges_ns, seconds = edges * NS_PER_S, _seconds(edges)
    return {
        address: _course(own, powered_ns(own), edges_ns) / NS_PER_S / seconds
        for address, own in _accounts(collector).items()
    }


def _accounts(collector: Collector) -> dict[str, Rows]:
    """Accounts of each instance that join seamlessly, by address."""
    rows = with_powerless_gaps(collector.usage_rows()) if collector.has_gaps else collector.usage_rows()
    order = np.argsort(rows["instance"], kind="stable")
    bounds = np.searchsorted(rows["instance"][order], np.arange(len(collector.instances) + 1))
    return {
        instance.address: rows[order[bounds[index] : bounds[index + 1]]]
        for index, instance in enumerate(collector.instances)
    }


def _course(rows: Rows, amounts: Ints | Floats, edges_ns: Floats) -> Floats:
    """What amounts of accounts that join seamlessly add up to in each step, shape (num_steps,), each spread evenly over
    the time of its account.

    `edges_ns`, like all edges here, has shape (num_steps + 1,).
    """
    ends = np.concatenate([[0.0], rows["end_ns"]])
    total = np.concatenate([[0.0], np.cumsum(amounts, dtype=np.float64)])
    return np.diff(np.interp(edges_ns, ends, total))


def kv_columns(collector: Collector, records: Records, edges: Floats) -> dict[str, Floats]:
    """Mean KV tokens of the sequences that run on each decode instance, which grow evenly from start to end."""
    decode = [one.address for one in collector.instances if is_of_stage(one.role, "decode")]
    columns: dict[str, Floats] = {}
    for index, address in enumerate(decode):
        is_here = (records.decode_instance == index) & (records.decode_started_ns != NOT_YET)
        begin, end = _s(records.decode_started_ns[is_here]), _s(records.ended_ns[is_here])
        final = (records.prompt_tokens + records.output_tokens)[is_here].astype(np.float64)
        first = (records.prompt_tokens[is_here] + 1).astype(np.float64)
        slope = np.divide(final - first, end - begin, out=np.zeros_like(end), where=end > begin)
        # The integral over time of first + slope * (t - begin) from begin to end.
        total = _ramp(edges, begin, first) - _ramp(edges, end, final)
        total += _parabola(edges, begin, slope) - _parabola(edges, end, slope)
        columns[f"kv_tokens:{address}"] = np.maximum(np.diff(total), 0.0) / _seconds(edges)
    return columns


def _s(times_ns: Ints) -> Floats:
    return times_ns / NS_PER_S


def _seconds(edges: Floats) -> Floats:
    return np.diff(edges)


def _counted(times_ns: Ints, edges: Floats) -> Floats:
    return _summed(times_ns, np.ones(len(times_ns)), np.ones(len(times_ns), np.bool_), edges)


def _summed(times_ns: Ints, amounts: Ints | Floats, is_defined: Bools, edges: Floats) -> Floats:
    """Sums of what falls into each step, shape (num_steps,); the last takes what falls on the end of the run."""
    num_steps = len(edges) - 1
    if not num_steps:
        return np.zeros(0)
    step = np.clip(np.searchsorted(edges, _s(times_ns[is_defined]), side="right") - 1, 0, num_steps - 1)
    return np.bincount(step, amounts[is_defined], num_steps).astype(np.float64)


def _mean_present(begin_ns: Ints, end_ns: Ints, is_defined: Bools, edges: Floats) -> Floats:
    begin, end = _s(begin_ns[is_defined]), _s(end_ns[is_defined])
    ones = np.ones(len(begin))
    return np.maximum(np.diff(_ramp(edges, begin, ones) - _ramp(edges, end, ones)), 0.0) / _seconds(edges)


def _spread(begin_ns: Ints, end_ns: Ints, amounts: Ints, is_defined: Bools, edges: Floats) -> Floats:
    """What falls into each step, shape (num_steps,), of amounts that are spread evenly from begin to end."""
    # Most flows begin and end in one step: their rates, which may be huge, need not be known.
    crosses = is_defined & (np.searchsorted(edges, _s(begin_ns)) != np.searchsorted(edges, _s(end_ns)))
    begin, end = _s(begin_ns[crosses]), _s(end_ns[crosses])
    rate = amounts[crosses] / (end - begin)
    flowed = np.diff(_ramp(edges, begin, rate) - _ramp(edges, end, rate))
    return np.maximum(flowed, 0.0) + _summed(end_ns, amounts, is_defined & ~crosses, edges)


def _ramp(edges: Floats, times: Floats, weights: Floats) -> Floats:
    """Sum of `weight * (edge - time)` over the times before each edge; shaped like `edges`."""
    counts, moments = _moments(edges, times, weights, 1)
    return edges * counts - moments


def _parabola(edges: Floats, times: Floats, weights: Floats) -> Floats:
    """Sum of `weight * (edge - time)**2 / 2` over the times before each edge; shaped like `edges`."""
    counts, moments, squares = _moments(edges, times, weights, 2)
    return (edges * edges * counts - 2 * edges * moments + squares) / 2


def _moments(edges: Floats, times: Floats, weights: Floats, highest: int) -> list[Floats]:
    """Sums of `weight * time**power` over the times before each edge, for each power from 0, each shaped like `edges`:
    one pass, no sorting."""
    step = np.searchsorted(edges, times, side="left")
    sums: list[Floats] = []
    for power in range(highest + 1):
        by_step = np.bincount(step, weights * times**power, len(edges) + 1)[: len(edges)]
        sums.append(np.cumsum(by_step, dtype=np.float64))
    return sums

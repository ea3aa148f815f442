"""How full decode is.

It steps whenever it has a sequence, so being busy says nothing of that: one sequence keeps a whole instance busy. What
bounds it is KV: the share of its room that sequences take, and what they leave free.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from scheduler.metrics.columns import NS_PER_S, Floats, ratio
from scheduler.metrics.outcome.ended_run import EndedRun
from scheduler.metrics.outcome.timeline import kv_columns, presence, step_edges


class DecodeLoad(Struct, frozen=True):
    """Of all decode instances together; None where there is nothing to tell it from.

    `batch_per_npu`: mean sequences running on an NPU, while steps run. `kv_used_mean`, `kv_used_peak`: share of the
    room for KV, over the run and in the fullest step of the time line; `kv_free_least` is what the latter leaves. Where
    instances come and go, the room is that of those that are there.
    """

    batch_per_npu: float | None
    kv_used_mean: float | None
    kv_used_peak: float | None
    kv_free_least: float | None


def decode_load(run: EndedRun) -> DecodeLoad:
    """From the log of steps, and from when each sequence ran."""
    return DecodeLoad(_batch_per_npu(run), *_kv_shares(run))


def _batch_per_npu(run: EndedRun) -> float | None:
    rows = run.collector.run_rows()
    npus = np.array([instance.num_npus for instance in run.collector.instances], np.int64)
    steps_s = rows["steps_ns"] / NS_PER_S
    return ratio(float(np.dot(rows["num_running"], steps_s)), float(np.dot(npus[rows["instance"]], steps_s)))


def _kv_shares(run: EndedRun) -> tuple[float | None, float | None, float | None]:
    edges = step_edges(run.span_s)
    seconds, room = np.diff(edges), _room(run, edges)
    if not room.any():
        return None, None, None
    held = sum(kv_columns(run.collector, run.present, edges).values(), np.zeros(len(seconds)))
    peak = float(np.divide(held, room, out=np.zeros_like(held), where=room > 0).max())
    return float(np.dot(held, seconds)) / float(np.dot(room, seconds)), peak, max(0.0, 1.0 - peak)


def _room(run: EndedRun, edges: Floats) -> Floats:
    """KV tokens that there is room for in each step, shape (num_steps,)."""
    tokens = run.info.decode_kv_tokens
    if not run.collector.comes_and_goes:
        return np.full(len(edges) - 1, float(sum(tokens.values())))
    there = presence(run.collector, edges)
    return sum((there[address] * room for address, room in tokens.items()), np.zeros(len(edges) - 1))

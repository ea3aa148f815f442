"""Layouts and snapshots of live systems; each test says only what it varies."""

from __future__ import annotations

from msgspec.structs import replace

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS
from scheduler.metrics.bucket_bounds import (
    HOP_BOUNDS_S,
    QUEUE_BOUNDS_S,
    TRANSFER_BOUNDS_S,
    VLLM_REQUEST_BOUNDS_S,
    VLLM_STEP_TOKEN_BOUNDS,
    VLLM_TOKEN_BOUNDS_S,
    VLLM_TOKEN_COUNT_BOUNDS,
    VLLM_TTFT_BOUNDS_S,
)
from scheduler.metrics.buckets import BucketCounts, HistogramTotals
from scheduler.metrics.facility import Ground
from scheduler.metrics.layout import Chip, Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.live.decisions import decision_series
from scheduler.metrics.snapshot import Rates, Snapshot
from scheduler.metrics.subjects.caches import CacheTotals
from scheduler.metrics.subjects.clients import ClientTotals
from scheduler.metrics.subjects.clock import RUN_OUTCOMES, ClockTotals
from scheduler.metrics.subjects.decisions import DecisionTotals
from scheduler.metrics.subjects.energy_account import EnergyTotals
from scheduler.metrics.subjects.engines import ITL_GRID_S, EngineTotals
from scheduler.metrics.subjects.fabric import FLOWS, FabricTotals
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.metrics.subjects.latencies import E2E_GRID_S, TPOT_GRID_S, TTFT_GRID_S, LatencyTotals
from scheduler.metrics.subjects.predictions import KINDS, PredictionTotals
from scheduler.metrics.subjects.requests import END_REASONS, STAGES, RequestTotals
from scheduler.metrics.subjects.scaling import STATES, ScalingDecision, ScalingTotals, change_series, roles_of
from scheduler.metrics.subjects.sessions import SessionTotals
from scheduler.metrics.subjects.slo import SloTotals
from scheduler.metrics.subjects.tokens import TokenTotals
from scheduler.protocol.addresses import prefill_address
from scheduler.protocol.fabric_messages import TransferKind

PREFILL = LiveInstance("prefill-0", "prefill", 16, 1000)
DECODE = LiveInstance("decode-0", "decode", 160, 4000)


def layout_of(*instances: LiveInstance) -> Layout:
    """A host for each instance, and one for fabric and cache."""
    hosts = {instance.address: (instance.address,) for instance in instances}
    return Layout(
        "1.2.3",
        instances,
        {"network": ("fabric", "cache"), **hosts},
        (WatchedSupernode(Ground(8, 4), 384, "some-cluster"),),
        plane_bytes_per_s=(1e12, 2e12, 3e12),
    )


def whole_supernode() -> Layout:
    """The default plan: 384 NPUs."""
    prefill = [LiveInstance(prefill_address(index), "prefill", 16, 1000) for index in range(14)]
    return layout_of(*prefill, DECODE)


def made_up_snapshot(layout: Layout, seconds: int = 7) -> Snapshot:
    """No two families say the same, and every counter grows with time."""
    instances = range(1, len(layout.instances) + 1)
    totals = (
        ClockTotals(
            seconds * 2.5, 2.5, True, _numbers(RUN_OUTCOMES, seconds), _histogram(HOP_BOUNDS_S, 3e-3, 13 * seconds)
        ),
        RequestTotals(
            arrived=100 * seconds,
            ended=_numbers(END_REASONS, 2 * seconds),
            retries=3 * seconds,
            running=_numbers(STAGES, 2),
            waiting=_numbers(STAGES, 3),
        ),
        TokenTotals(prompt=7 * seconds, computed=11 * seconds),
        LatencyTotals(
            ttft_s=_histogram(TTFT_GRID_S, 0.07, 3 * seconds),
            tpot_s=_histogram(TPOT_GRID_S, 0.03, 5 * seconds),
            e2e_s=_histogram(E2E_GRID_S, 3.0, 9 * seconds),
            queue_s=_histogram(QUEUE_BOUNDS_S, 1e5, 11 * seconds),
        ),
        InstanceTotals(
            is_up=tuple(index % 2 == 1 for index in instances),
            busy_s=tuple(index * seconds / 3 for index in instances),
            joules=tuple(index * seconds * 1e9 / 7 for index in instances),
            utilization=tuple(1 / index for index in instances),
            watts=tuple(1000.25 * index for index in instances),
            restarts=_numbers(tuple(layout.hosts), seconds),
            accounted_s=tuple(index * seconds / 2 for index in instances),
        ),
        made_up_engines(len(layout.instances), seconds),
        SloTotals((2.0, 0.05, 0.0), judged=19 * seconds, met=18 * seconds, by_class={}),
        PredictionTotals((_histogram(RATIO_BOUNDS, 0.9, 0),) * len(KINDS)),
        FabricTotals(
            _numbers(FLOWS, seconds << 40),
            _numbers(FLOWS, seconds),
            _numbers(FLOWS, 3 * seconds),
            tuple(_histogram(TRANSFER_BOUNDS_S, 2e-4, (15 + 2 * kind) * seconds) for kind in TransferKind),
            tuple(kind + seconds / 9 for kind in TransferKind),
            ("l2/3/7", "leaf/0", "npu/1/nic", "npu/2/nic"),
            (5, 6, 7),
        ),
        CacheTotals(),
        EnergyTotals(
            (1.5e5, 3e4),
            (2e6 * seconds, 3e6 * seconds, 4e6 * seconds, 5e6 * seconds),
            (1.0 * seconds,) * 4,
            6e5,
            seconds / 5,
        ),
        DecisionTotals(_numbers(decision_series(), seconds)),
        ClientTotals({"": 64}),
        SessionTotals(num_open=17, closed=4 * seconds),
        ScalingTotals(
            _numbers(roles_of(layout), 1),
            tuple((*STATES, "absent")[index % 5] for index in instances),
            _numbers(tuple(change_series(layout)), seconds),
            (ScalingDecision(5.0, "sla", "too few", {"prefill": 2}, {"started": ["p"]}),),
        ),
    )
    return Snapshot(layout, {type(one): one for one in totals}, Rates(1.5, 2.5, 3.5))


def made_up_engines(num: int, seconds: int) -> EngineTotals:
    """No two engines say the same."""
    each = range(1, num + 1)

    def counts(factor: int) -> tuple[int, ...]:
        return tuple(factor * one * seconds for one in each)

    def histograms(bounds: tuple[float, ...], value: float) -> tuple[HistogramTotals, ...]:
        return tuple(_histogram(bounds, value, one * seconds) for one in each)

    return EngineTotals(
        running=tuple(each),
        waiting=tuple(2 * one for one in each),
        kv_usage=tuple(1 / (one + 2) for one in each),
        prompt_tokens=counts(23),
        generation_tokens=(*counts(29)[1:], 10**15 + seconds),
        lookup_tokens=counts(31),
        hit_tokens=counts(5),
        preemptions=counts(3),
        ended=tuple(_numbers(END_REASONS, one * seconds) for one in each),
        ttft_s=histograms(VLLM_TTFT_BOUNDS_S, 0.07),
        itl_s=histograms(ITL_GRID_S, 0.02),
        tpot_s=histograms(VLLM_TOKEN_BOUNDS_S, 0.03),
        e2e_s=histograms(VLLM_REQUEST_BOUNDS_S, 3.0),
        queue_s=histograms(VLLM_REQUEST_BOUNDS_S, 1e4),
        prefill_s=histograms(VLLM_REQUEST_BOUNDS_S, 0.4),
        decode_s=histograms(VLLM_REQUEST_BOUNDS_S, 2.6),
        inference_s=histograms(VLLM_REQUEST_BOUNDS_S, 2.9),
        request_prompt_tokens=histograms(VLLM_TOKEN_COUNT_BOUNDS, 4096.0),
        request_output_tokens=histograms(VLLM_TOKEN_COUNT_BOUNDS, 250.0),
        step_tokens=histograms(VLLM_STEP_TOKEN_BOUNDS, 96.0),
    )


def _numbers(names: tuple[object, ...], factor: int) -> tuple[int, ...]:
    return tuple(factor * index for index in range(1, len(names) + 1))


def _histogram(bounds_s: tuple[float, ...], value_s: float, weight: int) -> HistogramTotals:
    counts = BucketCounts(bounds_s)
    counts.add(value_s, weight, value_s * weight)
    return counts.totals()


ASCEND = Chip("ascend", "Ascend 910C", 2, 64e9, 0.9, 168.0, 700.0)
GPU = Chip("nvidia", "NVIDIA H800 SXM", 1, 80e9, 0.9, 70.0, 700.0)


def under_names(layout: Layout, chip: Chip, *names: str) -> Layout:
    """The same system, exported under these names."""
    supernodes = tuple(replace(one, chip=chip) for one in layout.supernodes)
    return replace(layout, model="deepseek-r1", supernodes=supernodes, names=names)

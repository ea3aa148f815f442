"""A made-up cluster of 384 NPUs in steady traffic: its snapshots, as smooth as dashboards need them to be shown."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np

from deploy.live.exporter import Exporter
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
from scheduler.metrics.facility import FacilityCurves, Ground
from scheduler.metrics.layout import Chip, Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.live.decisions import decision_series
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects.caches import CacheTotals
from scheduler.metrics.subjects.clients import ClientTotals
from scheduler.metrics.subjects.clock import ClockTotals
from scheduler.metrics.subjects.decisions import DecisionTotals
from scheduler.metrics.subjects.energy_account import EnergyTotals
from scheduler.metrics.subjects.engines import ITL_GRID_S, EngineTotals
from scheduler.metrics.subjects.fabric import FLOWS, FabricTotals
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.metrics.subjects.latencies import E2E_GRID_S, TPOT_GRID_S, TTFT_GRID_S, LatencyTotals
from scheduler.metrics.subjects.predictions import KINDS, PredictionTotals
from scheduler.metrics.subjects.requests import END_REASONS, RequestTotals
from scheduler.metrics.subjects.scaling import ScalingTotals, change_series
from scheduler.metrics.subjects.sessions import SessionTotals
from scheduler.metrics.subjects.slo import SloTotals
from scheduler.metrics.subjects.tokens import TokenTotals
from scheduler.protocol.addresses import prefill_address
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.finish import FinishReason

SPEED = 5.0
REQUESTS_PER_S = 6.0
"""Per emulated second, as is everything below that does not say wall."""
CLIENTS = 64

PROMPT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS = 4_100, 2_600, 250
PREFILL_WATTS, DECODE_WATTS = 175.0, 415.0
HOPS_PER_WALL_S = 300
SLO_MET_SHARE = 0.9

PREFILL = tuple(LiveInstance(prefill_address(index), "prefill", 16, 0) for index in range(14))
DECODE = LiveInstance("decode-0", "decode", 160, 10_000_000)
INSTANCES = (*PREFILL, DECODE)
OTHER_WATTS = {"cpu": 31e3, "board": 46e3, "switch": 27e3, "optics": 31e3, "cooling": 12e3, "supply_loss": 13e3}
PUE = 1.2
USD_PER_S, USD_PER_J, INPUT_SHARE = 0.065, 2.5e-8, 0.58
CAP_WATTS = 400e3

LAYOUT = Layout(
    version="0.1.0",
    instances=INSTANCES,
    hosts={one.address: (one.address,) for one in INSTANCES},
    supernodes=(
        WatchedSupernode(
            Ground(8, 4), 384, "cloudmatrix384", Chip("ascend", "Ascend 910C", 2, 64e9, 0.9, 168.0, 700.0)
        ),
    ),
    plane_bytes_per_s=(150e12, 19e12, 2.4e12),
    model="deepseek-r1",
    names=("own", "vllm", "ascend", "genai"),
    num_cache_servers=48,
    kv_bytes_per_token=70_272,
    curves=FacilityCurves(np.array([0.0, 1e6]), {part: np.array([w, w]) for part, w in OTHER_WATTS.items()}),
)

TTFT_S = (0.042, 0.048, 0.051, 0.053, 0.057, 0.066, 0.078, 0.092, 0.119, 0.205)
TPOT_S = (0.0131, 0.0134, 0.0136, 0.0139, 0.0144)
ITL_S = (0.0221, 0.0228, 0.0229, 0.0233, 0.0498)
E2E_S = (1.1, 1.9, 2.7, 3.5, 4.6, 6.9, 8.8, 13.5)
QUEUE_S = (20e-6, 25e-6, 95e-6, 188e-6)
TRANSFER_S = {
    TransferKind.KV_TRANSFER: (0.00015, 0.0002, 0.0007),
    TransferKind.CACHE_READ: (0.00003, 0.00004, 0.00016),
    TransferKind.CACHE_WRITE: (0.00002, 0.00003),
}
PREDICTED_OVER_ACTUAL = (0.82, 0.91, 0.96, 0.99, 1.0, 1.03)
HOP_S = (0.0008, 0.0011, 0.0014, 0.0019, 0.0042)

ENDED = {FinishReason.STOP: 0.96, FinishReason.LENGTH: 0.03, FinishReason.OVERLOAD: 0.01}
FLOW_BYTES = {
    (Plane.RDMA, TransferKind.KV_TRANSFER): 290_000_000,
    (Plane.UB, TransferKind.CACHE_READ): 190_000_000,
    (Plane.UB, TransferKind.CACHE_WRITE): 105_000_000,
}
"""Of one request."""


def snapshot_at(wall_s: float) -> Snapshot:
    """How it stands a time after it came up."""
    emulated_s = SPEED * wall_s
    swing = math.sin(emulated_s / 60)
    num = max(0, int(REQUESTS_PER_S * emulated_s + 60 * (1 - math.cos(emulated_s / 60))))
    busy = (*(0.03 + 0.004 * index + 0.02 * swing for index in range(len(PREFILL))), 0.93 + 0.05 * swing)
    lost = 3 if 30 < wall_s % 120 < 42 else -1
    totals = (
        ClockTotals(
            emulated_s=emulated_s,
            speed=SPEED * (0.998 + 0.001 * swing),
            is_replaying=True,
            runs=(2, 1, 0),
            hop_wall_s=_histogram(HOP_BOUNDS_S, HOP_S, int(HOPS_PER_WALL_S * wall_s)),
        ),
        RequestTotals(
            arrived=num + 25,
            ended=tuple(int(ENDED.get(reason, 0.0) * num) for reason in END_REASONS),
            retries=4 * _losses(wall_s),
            running=(2, 1, 21 + round(6 * swing)),
            waiting=(1 + round(swing), 0, 2 + round(2 * swing)),
        ),
        TokenTotals(prompt=PROMPT_TOKENS * num, computed=(PROMPT_TOKENS - CACHED_TOKENS) * num),
        LatencyTotals(
            ttft_s=_histogram(TTFT_GRID_S, TTFT_S, num),
            tpot_s=_histogram(TPOT_GRID_S, TPOT_S, num),
            e2e_s=_histogram(E2E_GRID_S, E2E_S, num),
            queue_s=_histogram(QUEUE_BOUNDS_S, QUEUE_S, num),
        ),
        InstanceTotals(
            is_up=tuple(index != lost for index in range(len(INSTANCES))),
            busy_s=(*((0.03 + 0.004 * index) * emulated_s for index in range(len(PREFILL))), 0.93 * emulated_s),
            joules=tuple(_watts(one) * emulated_s for one in INSTANCES),
            utilization=tuple(0.0 if index == lost else share for index, share in enumerate(busy)),
            watts=tuple(_watts(one) * (1 + 0.1 * swing) for one in INSTANCES),
            restarts=tuple(_losses(wall_s) if index == 3 else 0 for index in range(len(INSTANCES))),
            accounted_s=(emulated_s,) * len(INSTANCES),
        ),
        SloTotals(
            limits_s=(2.0, 0.05, 0.0),
            judged=num,
            met=int(SLO_MET_SHARE * num),
            by_class={"default": (int(SLO_MET_SHARE * num), num - int(SLO_MET_SHARE * num))},
        ),
        _engines(num, swing),
        _fabric(num, wall_s, has_loss=lost >= 0),
        _energy(emulated_s, 1 + 0.1 * swing),
        CacheTotals(
            num_servers=48,
            capacity_tokens=(10**9, 10**10),
            held_tokens=(10**8 + (PROMPT_TOKENS - CACHED_TOKENS) * num, 10**9),
            asked_tokens=PROMPT_TOKENS * num,
            found_tokens=(CACHED_TOKENS * num, 0),
            offered_tokens=PROMPT_TOKENS * num,
            stored_tokens=(PROMPT_TOKENS - CACHED_TOKENS) * num,
        ),
        PredictionTotals(tuple(_histogram(RATIO_BOUNDS, PREDICTED_OVER_ACTUAL, num) for _ in KINDS)),
        ClientTotals({"": CLIENTS}),
        SessionTotals(num_open=12 + round(4 * swing), closed=num // 8),
        _scaling(wall_s, lost),
        DecisionTotals(tuple(num if policy == "cloudmatrix" else 0 for _, policy, _ in decision_series())),
    )
    return Snapshot(LAYOUT, {type(one): one for one in totals})


@contextmanager
def moving_exporter() -> Generator[str]:
    """The exporter of such a cluster on a free port of 127.0.0.1, five snapshots a wall second; HOST:PORT."""
    started_s = time.monotonic()
    exporter = Exporter(snapshot_at(0.0), port=0)
    ended = threading.Event()

    def move() -> None:
        while not ended.wait(0.2):
            exporter.publish(snapshot_at(time.monotonic() - started_s))

    mover = threading.Thread(target=move)
    mover.start()
    try:
        yield exporter.address
    finally:
        ended.set()
        mover.join()
        exporter.close()


def _watts(instance: LiveInstance) -> float:
    return instance.num_npus * (DECODE_WATTS if instance.role == "decode" else PREFILL_WATTS)


def _energy(emulated_s: float, swing: float) -> EnergyTotals:
    """Three quarters of what NPUs draw is for work."""
    prefill_w, decode_w = (sum(_watts(one) for one in INSTANCES if one.role == role) for role in ("prefill", "decode"))
    others = tuple(OTHER_WATTS.values())
    building_w = (PUE - 1) * (prefill_w + decode_w + sum(others))
    phases = (0.75 * prefill_w, 0.75 * decode_w, 0.25 * (prefill_w + decode_w))
    watts = (*phases, *others, building_w)
    usd_per_s = [share * usd for share in (INPUT_SHARE, 1 - INPUT_SHARE) for usd in (USD_PER_S, USD_PER_J * sum(watts))]
    return EnergyTotals(
        tuple(swing * part_w for part_w in (prefill_w + decode_w, *others, building_w)),
        tuple(phase_w * emulated_s for phase_w in watts),
        tuple(usd * emulated_s for usd in usd_per_s),
        CAP_WATTS,
        emulated_s,
    )


def _fabric(num: int, wall_s: float, *, has_loss: bool) -> FabricTotals:
    return FabricTotals(
        tuple(FLOW_BYTES.get(flow, 0) * num for flow in FLOWS),
        tuple(num if flow in FLOW_BYTES else 0 for flow in FLOWS),
        tuple(_losses(wall_s) if flow in FLOW_BYTES else 0 for flow in FLOWS),
        tuple(_histogram(TRANSFER_BOUNDS_S, TRANSFER_S.get(kind, ()), num) for kind in TransferKind),
        (0.012 * num, *[0.0] * (len(TransferKind) - 1)),
        ("l2/3/7", "npu/12/nic") if has_loss else ("l2/3/7",),
        (1.3e12, 50e9 if has_loss else 0, 0),
    )


def _scaling(wall_s: float, lost: int) -> ScalingTotals:
    """The plan's instances serve; NPUs have changed their role now and then."""
    counts = {"prefill": len(PREFILL), "decode": 1}
    return ScalingTotals(
        tuple(counts.values()),
        tuple("lost" if index == lost else "serving" for index in range(len(INSTANCES))),
        tuple(
            _losses(wall_s) if (kind, policy) == ("switch", "sla") else 0 for _, kind, policy in change_series(LAYOUT)
        ),
    )


def _engines(num: int, swing: float) -> EngineTotals:
    """Prefill instances have equal parts of all; whatever comes after the first token is at decode."""
    num_prefill = len(PREFILL)
    ttft_s, queue_s = (
        [_histogram(bounds, values, num // num_prefill) for _ in PREFILL]
        for bounds, values in ((VLLM_TTFT_BOUNDS_S, TTFT_S), (VLLM_REQUEST_BOUNDS_S, QUEUE_S))
    )
    at_prefill = (0,) * num_prefill
    none: dict[tuple[float, ...], list[HistogramTotals]] = {
        bounds: [_histogram(bounds, (0.0,), 0)] * num_prefill
        for bounds in (
            VLLM_TTFT_BOUNDS_S,
            VLLM_TOKEN_BOUNDS_S,
            VLLM_REQUEST_BOUNDS_S,
            VLLM_TOKEN_COUNT_BOUNDS,
            VLLM_STEP_TOKEN_BOUNDS,
            ITL_GRID_S,
        )
    }

    def at_decode(bounds: tuple[float, ...], values: Sequence[float], count: int = num) -> list[HistogramTotals]:
        return [*none[bounds], _histogram(bounds, values, count)]

    return EngineTotals(
        running=(*(index % 3 for index in range(num_prefill)), 21 + round(6 * swing)),
        waiting=(*(index % 2 for index in range(num_prefill)), 2 + round(2 * swing)),
        kv_usage=(*(0.01 * index for index in range(num_prefill)), 0.12 + 0.04 * swing),
        prompt_tokens=(*(PROMPT_TOKENS * (num // num_prefill) for _ in PREFILL), 0),
        generation_tokens=(*(num // num_prefill for _ in PREFILL), (OUTPUT_TOKENS - 1) * num),
        lookup_tokens=(*(PROMPT_TOKENS * (num // num_prefill) for _ in PREFILL), 0),
        hit_tokens=(*(CACHED_TOKENS * (num // num_prefill) for _ in PREFILL), 0),
        preemptions=(*at_prefill, num // 40),
        ended=(
            *((0,) * len(END_REASONS) for _ in PREFILL),
            tuple(int(ENDED.get(reason, 0.0) * num) for reason in END_REASONS),
        ),
        ttft_s=[*ttft_s, none[VLLM_TTFT_BOUNDS_S][0]],
        itl_s=at_decode(ITL_GRID_S, ITL_S, OUTPUT_TOKENS * num),
        tpot_s=at_decode(VLLM_TOKEN_BOUNDS_S, TPOT_S),
        e2e_s=at_decode(VLLM_REQUEST_BOUNDS_S, E2E_S),
        queue_s=[*queue_s, none[VLLM_REQUEST_BOUNDS_S][0]],
        prefill_s=[*queue_s, none[VLLM_REQUEST_BOUNDS_S][0]],
        decode_s=at_decode(VLLM_REQUEST_BOUNDS_S, E2E_S),
        inference_s=at_decode(VLLM_REQUEST_BOUNDS_S, E2E_S),
        request_prompt_tokens=at_decode(VLLM_TOKEN_COUNT_BOUNDS, (PROMPT_TOKENS,)),
        request_output_tokens=at_decode(VLLM_TOKEN_COUNT_BOUNDS, (OUTPUT_TOKENS,)),
        step_tokens=at_decode(VLLM_STEP_TOKEN_BOUNDS, (96.0,), OUTPUT_TOKENS * num // 96),
    )


def _losses(wall_s: float) -> int:
    return int((wall_s + 78) // 120)


def _histogram(bounds_s: tuple[float, ...], values_s: Sequence[float], num: int) -> HistogramTotals:
    """`num` values, those given over and over."""
    counts = BucketCounts(bounds_s)
    for index, value_s in enumerate(values_s):
        weight = (num + index) // len(values_s)
        counts.add(value_s, weight, weight * value_s)
    return counts.totals()

"""What a live system has come to at one instant, as plain numbers, and how `supernode status` says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS
from scheduler.metrics.buckets import TRANSFER_BOUNDS_S, HistogramTotals
from scheduler.metrics.live.energy_seen import FREE, NOTHING_DRAWN, ONLY_NPUS, EnergySeen, Prices
from scheduler.metrics.live.engine_totals import EngineTotals
from scheduler.metrics.outcome.collector import Role
from scheduler.metrics.outcome.energy import FacilityCurves
from scheduler.metrics.outcome.energy_places import deal_npus
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import Plane, TransferKind

STAGES: Final = ("prefill", "hand_over", "decode")
"""Where an open request is, in the order of `Snapshot.running` and `waiting`."""

RUN_OUTCOMES: Final = ("completed", "interrupted", "failed")
"""How a replay ends, in the order of `Snapshot.runs`."""

END_REASONS: Final = tuple(reason for reason in FinishReason if reason is not FinishReason.PENDING)
"""How a request ends, in the order of `Snapshot.ended`."""

FLOWS: Final = tuple((plane, kind) for plane in Plane for kind in TransferKind)
"""What moves on which plane, in the order of `Snapshot.flow_bytes` and `flow_transfers`."""

CACHE_TIERS: Final = ("dram", "ssd")
"""Memories of cache servers, in the order of what `CachesSeen` has by tier."""


NO_RATIOS: Final = (HistogramTotals((0,) * (len(RATIO_BOUNDS) + 1), 0.0),) * 2


@dataclass(frozen=True, slots=True)
class LiveInstance:
    """An instance that is watched, in one of the supernodes. `kv_capacity_tokens`: KV tokens that all its dies hold."""

    address: str
    role: Role
    num_npus: int
    kv_capacity_tokens: int
    supernode: int = 0


@dataclass(frozen=True, slots=True)
class Chip:
    """What every NPU of the system is, as an exporter of its maker would tell it.

    `maker` is "ascend" or "nvidia". A package has `num_dies` devices of `hbm_bytes` each, of which an engine takes
    `held_share` when it comes up; its power lies between `idle_w` and `tdp_w`.
    """

    maker: str
    title: str
    num_dies: int
    hbm_bytes: float
    held_share: float
    idle_w: float
    tdp_w: float


@dataclass(frozen=True, eq=False)
class Layout:
    """What does not change while the system lives; compared by identity, so that what is made from it can be kept.

    Within one role instances are in the core's order. NPUs are numbered through, `npus_per_supernode` for each
    supernode, and dealt out to its instances in their order; nodes are numbered in the order of NPUs, racks in that of
    nodes. With one supernode its size need not be known. `hosts` maps the name of each process to the addresses of the
    workers in it. `kv_block_tokens`: tokens of a KV block. `names` are the schemes under which it is exported
    (`scheduler.metrics.export.names`); those of the exporters of chips need `chip`.
    `plane_bytes_per_s`: what all ends of each plane carry together when no part is broken. `curves` tell what is drawn
    beside the NPUs, `prices` what it costs.
    `num_cache_servers`: nodes whose memory holds the cache pool. `classes`: names of the request classes that the
    system was brought up with. `kv_bytes_per_token`: what a token of KV takes in the cache pool.
    """

    version: str
    instances: tuple[LiveInstance, ...]
    hosts: Mapping[str, Sequence[str]]
    npus_per_node: int
    nodes_per_rack: int
    kv_block_tokens: int = 128
    model: str = ""
    chip: Chip | None = None
    names: tuple[str, ...] = ("own",)
    plane_bytes_per_s: tuple[float, ...] = (0.0,) * len(Plane)
    npus_per_supernode: int = 0
    curves: FacilityCurves = ONLY_NPUS
    prices: Prices = FREE
    num_cache_servers: int = 0
    classes: tuple[str, ...] = ()
    kv_bytes_per_token: int = 0

    def npus(self) -> list[range]:
        """The numbers of the NPUs of each instance."""
        return deal_npus(((one.supernode, one.num_npus) for one in self.instances), self.npus_per_supernode)


@dataclass(frozen=True, slots=True)
class FabricSeen:
    """Transfers by kind: how long they were waited for, and how long they had flowed hidden behind a pass; by `FLOWS`,
    those given up. Which parts are broken now, and the bytes per second that they take from each plane."""

    transfer_s: tuple[HistogramTotals, ...] = (HistogramTotals((0,) * (len(TRANSFER_BOUNDS_S) + 1), 0.0),) * len(
        TransferKind
    )
    hidden_s: tuple[float, ...] = (0.0,) * len(TransferKind)
    failed_transfers: tuple[int, ...] = (0,) * len(FLOWS)
    failed_parts: tuple[str, ...] = ()
    lost_bytes_per_s: tuple[float, ...] = (0,) * len(Plane)


@dataclass(frozen=True, slots=True)
class CachesSeen:
    """All cache pools as last reported: servers that are up, tokens that they can hold and hold, by tier; then counts
    over all sessions, as `CacheReported` has them, with the hits and evictions by tier."""

    num_servers: int = 0
    capacity_tokens: tuple[int, ...] = (0, 0)
    held_tokens: tuple[int, ...] = (0, 0)
    lookup_tokens: int = 0
    hit_tokens: tuple[int, ...] = (0, 0)
    offered_tokens: int = 0
    stored_tokens: int = 0
    evicted_blocks: tuple[int, ...] = (0, 0)
    evicted_age_s: float = 0.0
    lost_blocks: int = 0
    moved_blocks: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second of emulated time, over the last ten seconds or so on the wall; 0 between sessions."""

    requests_per_s: float = 0.0
    input_tokens_per_s: float = 0.0
    output_tokens_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Totals since the system came up, over all its sessions, and how it stands now; every number is finite.

    Tuples are in the order of `Layout.instances`, `Layout.hosts` or of the constants above. Times are emulated, but for
    `hop_wall_s`. `speed`: emulated seconds per second on the wall, 0 between sessions. `is_replaying`: this is no idle
    time. `prompt_tokens` count when the first token comes out, `generation_tokens` as they are produced,
    `lookup_tokens` when prefill begins. `kv_usage` is 0 for prefill. Utilisation and watts are those of an instance's
    last stretch of a wall second. `slo_limits_s`: those of the present run, in the order of `slo.KEYS`, 0 where there
    is none; `slo_judged` and `slo_met`: ended requests of runs with limits, and those of them that kept all.
    `duration_s` counts the same as `e2e_s`, in other buckets. `decisions` is by `live_decisions.decision_series`.
    """

    layout: Layout
    emulated_s: float
    speed: float
    is_replaying: bool
    runs: tuple[int, ...]
    arrived: int
    ended: tuple[int, ...]
    retries: int
    preemptions: int
    prompt_tokens: int
    computed_tokens: int
    generation_tokens: int
    lookup_tokens: int
    hit_tokens: int
    ttft_s: HistogramTotals
    tpot_s: HistogramTotals
    itl_s: HistogramTotals
    e2e_s: HistogramTotals
    queue_s: HistogramTotals
    duration_s: HistogramTotals
    hop_wall_s: HistogramTotals
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    is_up: tuple[bool, ...]
    kv_usage: tuple[float, ...]
    busy_s: tuple[float, ...]
    joules: tuple[float, ...]
    utilization: tuple[float, ...]
    watts: tuple[float, ...]
    restarts: tuple[int, ...]
    flow_bytes: tuple[int, ...]
    flow_transfers: tuple[int, ...]
    slo_limits_s: tuple[float, ...]
    slo_judged: int
    slo_met: int
    engines: EngineTotals
    rates: Rates
    fabric: FabricSeen = FabricSeen()
    caches: CachesSeen = CachesSeen()
    energy: EnergySeen = NOTHING_DRAWN
    decisions: tuple[int, ...] = ()
    slo_by_class: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Ended requests of each class within its limits, and the others."""
    prediction_ratios: tuple[HistogramTotals, ...] = NO_RATIOS
    """Predicted over actual times, in the order of `live_predictions.KINDS`."""


def status(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot for a person or a script, as plain values for `json.dumps`."""
    return {
        "emulated_s": snapshot.emulated_s,
        "speed": snapshot.speed,
        "run_active": snapshot.is_replaying,
        "runs": dict(zip(RUN_OUTCOMES, snapshot.runs, strict=True)),
        "instances": _instances(snapshot),
        "restarts": dict(zip(snapshot.layout.hosts, snapshot.restarts, strict=True)),
        "stages": {
            stage: {"running": running, "waiting": waiting}
            for stage, running, waiting in zip(STAGES, snapshot.running, snapshot.waiting, strict=True)
        },
        "requests": {
            "arrived": snapshot.arrived,
            "ended": {r.name.lower(): count for r, count in zip(END_REASONS, snapshot.ended, strict=True)},
            "retries": snapshot.retries,
            "preemptions": snapshot.preemptions,
        },
        "tokens": {
            "prompt": snapshot.prompt_tokens,
            "computed": snapshot.computed_tokens,
            "generation": snapshot.generation_tokens,
            "cache_lookup": snapshot.lookup_tokens,
            "cache_hit": snapshot.hit_tokens,
        },
        "fabric": _fabric(snapshot),
        "rates": {
            "requests_per_s": snapshot.rates.requests_per_s,
            "input_tokens_per_s": snapshot.rates.input_tokens_per_s,
            "output_tokens_per_s": snapshot.rates.output_tokens_per_s,
        },
        "watts": sum(snapshot.watts),
        "joules": sum(snapshot.joules),
    }


def _fabric(snapshot: Snapshot) -> dict[str, Any]:
    fabric = snapshot.fabric
    shares = {
        plane.name.lower(): lost / whole if whole else 0.0
        for plane, lost, whole in zip(Plane, fabric.lost_bytes_per_s, snapshot.layout.plane_bytes_per_s, strict=True)
    }
    return {"failed_parts": list(fabric.failed_parts), "lost": shares, "failed_transfers": sum(fabric.failed_transfers)}


def _instances(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            "name": instance.address,
            "role": instance.role,
            "num_npus": instance.num_npus,
            "up": is_up,
            "utilization": utilization,
            "watts": watts,
            "kv_usage": kv_usage if instance.role == "decode" else None,
        }
        for instance, is_up, utilization, watts, kv_usage in zip(
            snapshot.layout.instances,
            snapshot.is_up,
            snapshot.utilization,
            snapshot.watts,
            snapshot.kv_usage,
            strict=True,
        )
    ]

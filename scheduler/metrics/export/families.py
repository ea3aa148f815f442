"""The catalogue of what a live system exports under names of its own: every family with its type, help and labels.

Names are fixed: dashboards and alerts refer to them. All times are emulated seconds, unless the help says wall.
"""

from __future__ import annotations

from typing import Final

from scheduler.core.estimates.prediction_error import RATIO_BOUNDS
from scheduler.metrics.buckets import (
    HOP_BOUNDS_S,
    REQUEST_BOUNDS_S,
    TOKEN_BOUNDS_S,
    TRANSFER_BOUNDS_S,
    TTFT_BOUNDS_S,
)
from scheduler.metrics.export.cache_families import CACHE_FAMILIES
from scheduler.metrics.export.family import AnyFamily, Family, HistogramFamily, Labels
from scheduler.metrics.export.power_families import POWER_FAMILIES
from scheduler.metrics.link_classes import LINK_CLASSES
from scheduler.metrics.live.decisions import decision_series
from scheduler.metrics.live.predictions import KINDS
from scheduler.metrics.live.snapshot import END_REASONS, FLOWS, RUN_OUTCOMES, STAGES, Layout, Snapshot
from scheduler.metrics.slo import KEYS
from scheduler.policies.classes import DEFAULT_NAME
from scheduler.protocol.fabric_parts import PartKind, count_kinds
from scheduler.protocol.finish import FINISHED, REJECTED, FinishReason
from scheduler.protocol.messages import Plane, TransferKind


def _outcome(reason: FinishReason) -> str:
    if reason in FINISHED:
        return "finished"
    return "rejected" if reason in REJECTED else "failed"


def _by_instance(layout: Layout) -> list[Labels]:
    return [(instance.address, instance.role) for instance in layout.instances]


def _by_decode_instance(layout: Layout) -> list[Labels]:
    return [labels for labels in _by_instance(layout) if labels[1] == "decode"]


def _of_decode(snapshot: Snapshot) -> list[float]:
    pairs = zip(snapshot.layout.instances, snapshot.kv_usage, strict=True)
    return [usage for instance, usage in pairs if instance.role == "decode"]


def _class_names(layout: Layout) -> list[str]:
    return [DEFAULT_NAME, *layout.classes]


def _by_work_state(layout: Layout) -> list[Labels]:
    return [(*labels, state) for state in WORK_STATES for labels in _by_instance(layout)]


def _by_npu(layout: Layout) -> list[Labels]:
    per_rack = layout.npus_per_node * layout.nodes_per_rack
    return [
        (str(npu), str(npu // layout.npus_per_node), str(npu // per_rack), instance.address, instance.role)
        for instance, npus in zip(layout.instances, layout.npus(), strict=True)
        for npu in npus
    ]


def _npu_utilization(snapshot: Snapshot) -> list[float]:
    """All NPUs of an instance step together, so each is as busy as its instance."""
    pairs = zip(snapshot.layout.instances, snapshot.utilization, strict=True)
    return [share for instance, share in pairs for _ in range(instance.num_npus)]


def _npu_watts(snapshot: Snapshot) -> list[float]:
    values: list[float] = []
    for instance, watts in zip(snapshot.layout.instances, snapshot.watts, strict=True):
        values += [watts / instance.num_npus] * instance.num_npus
    return values


def _link_bytes(snapshot: Snapshot) -> list[int]:
    moved = dict(zip(FLOWS, snapshot.flow_bytes, strict=True))
    return [sum(moved[links.plane, kind] for kind in links.kinds) for links in LINK_CLASSES]


_PLANES: Final = [(plane.name.lower(),) for plane in Plane]
_KIND_NAMES: Final = {kind: kind.name.lower() for kind in TransferKind} | {TransferKind.KV_TRANSFER: "hand_over"}
"""Dashboards and alerts refer to the name that KV transfers have always had."""
_KINDS: Final = [(_KIND_NAMES[kind],) for kind in TransferKind]
_REASONS: Final = [(_outcome(reason), reason.name.lower()) for reason in END_REASONS]
_FLOWS: Final = [(plane.name.lower(), _KIND_NAMES[kind]) for plane, kind in FLOWS]
_INSTANCE: Final = ("instance", "role")
WORK_STATES: Final = ("running", "waiting")
_NPU: Final = ("npu", "node", "rack", "instance", "role")

FAMILIES: Final[tuple[AnyFamily, ...]] = (
    Family(
        "supernode_build_info", "gauge", "Always 1; the version is its label.",
        lambda _: (1,), ("version",), lambda layout: ((layout.version,),),
    ),
    Family(
        "supernode_emulated_seconds_total", "counter",
        "Emulated time that has passed, idle time included; at speed N it grows N times as fast as the wall clock.",
        lambda s: (s.emulated_s,),
    ),
    Family(
        "supernode_speed_ratio", "gauge", "Emulated seconds per wall second now; 0 between two sessions.",
        lambda s: (s.speed,),
    ),
    Family("supernode_run_active", "gauge", "1 while a replay runs, else 0.", lambda s: (int(s.is_replaying),)),
    Family(
        "supernode_runs_total", "counter", "Replays by how they ended.",
        lambda s: s.runs, ("outcome",), lambda _: [(outcome,) for outcome in RUN_OUTCOMES],
    ),
    Family("supernode_requests_arrived_total", "counter", "Requests that reached the gateway.", lambda s: (s.arrived,)),
    Family(
        "supernode_requests_ended_total", "counter", "Requests by how they ended.",
        lambda s: s.ended, ("outcome", "reason"), lambda _: _REASONS,
    ),
    Family(
        "supernode_request_retries_total", "counter", "Requests begun again because a worker was lost.",
        lambda s: (s.retries,),
    ),
    Family(
        "supernode_preemptions_total", "counter", "Sequences that left a decode instance because no KV block was free.",
        lambda s: (s.preemptions,),
    ),
    Family(
        "supernode_prompt_tokens_total", "counter", "Prompt tokens of requests whose first token came out.",
        lambda s: (s.prompt_tokens,),
    ),
    Family(
        "supernode_computed_tokens_total", "counter", "Tokens computed by prefill passes, recomputation included.",
        lambda s: (s.computed_tokens,),
    ),
    Family(
        "supernode_generation_tokens_total", "counter", "Output tokens as they are produced, the first one included.",
        lambda s: (s.generation_tokens,),
    ),
    Family(
        "supernode_cache_lookup_tokens_total", "counter", "Prompt tokens looked up in a prefix cache.",
        lambda s: (s.lookup_tokens,),
    ),
    Family(
        "supernode_cache_hit_tokens_total", "counter", "Prompt tokens found in a prefix cache.",
        lambda s: (s.hit_tokens,),
    ),
    HistogramFamily(
        "supernode_time_to_first_token_seconds", "Arrival to first token, of requests that got one.",
        TTFT_BOUNDS_S, lambda s: (s.ttft_s,),
    ),
    HistogramFamily(
        "supernode_time_per_output_token_seconds",
        "First to last token over the tokens after the first; one value per finished request of two or more.",
        TOKEN_BOUNDS_S, lambda s: (s.tpot_s,),
    ),
    HistogramFamily(
        "supernode_inter_token_latency_seconds",
        "Gaps between consecutive tokens of one request, or chunks of tokens with MTP, pooled over all requests.",
        TOKEN_BOUNDS_S, lambda s: (s.itl_s,),
    ),
    HistogramFamily(
        "supernode_e2e_request_latency_seconds", "Arrival to last token, of finished requests.",
        REQUEST_BOUNDS_S, lambda s: (s.e2e_s,),
    ),
    HistogramFamily(
        "supernode_request_queue_time_seconds", "Arrival to the start of prefill.",
        REQUEST_BOUNDS_S, lambda s: (s.queue_s,),
    ),
    Family(
        "supernode_requests_running", "gauge", "Open requests that are at work, by stage.",
        lambda s: s.running, ("stage",), lambda _: [(stage,) for stage in STAGES],
    ),
    Family(
        "supernode_requests_waiting", "gauge", "Open requests that wait, by the stage they wait for.",
        lambda s: s.waiting, ("stage",), lambda _: [(stage,) for stage in STAGES],
    ),
    Family(
        "supernode_instance_requests", "gauge", "Requests that an instance works on, and that wait for it.",
        lambda s: (*s.engines.running, *s.engines.waiting), (*_INSTANCE, "state"), _by_work_state,
    ),
    Family(
        "supernode_decisions_total", "counter",
        "Requests for which an instance was chosen, by the policy that chose and why; of policies of one's own all "
        "reasons are one.",
        lambda s: s.decisions, ("stage", "policy", "reason"), lambda _: decision_series(),
    ),
    Family(
        "supernode_cache_servers", "gauge", "Nodes whose memory holds the cache pool, in the plan.",
        lambda s: (s.layout.num_cache_servers,),
    ),
    Family(
        "supernode_slo_limit_seconds", "gauge", "Limits that the present run is held to; 0 where there is none.",
        lambda s: s.slo_limits_s, ("latency",), lambda _: [(key,) for key in KEYS],
    ),
    Family(
        "supernode_slo_requests_total", "counter",
        "Ended requests of runs with limits, by whether all were kept; one that was rejected or failed kept none.",
        lambda s: (s.slo_met, s.slo_judged - s.slo_met), ("met",), lambda _: (("yes",), ("no",)),
    ),
    Family(
        "supernode_class_slo_requests_total", "counter",
        "The same by request class, of those that the system was brought up with; default is of requests without one.",
        lambda s: [count for name in _class_names(s.layout) for count in s.slo_by_class.get(name, (0, 0))],
        ("request_class", "met"),
        lambda layout: [(name, met) for name in _class_names(layout) for met in ("yes", "no")],
    ),
    HistogramFamily(
        "supernode_prediction_error_ratio",
        "Predicted over actual times, where any are predicted: 1 is right, below it is optimistic.",
        RATIO_BOUNDS, lambda s: s.prediction_ratios, ("kind",), lambda _: [(kind,) for kind in KINDS],
    ),
    Family(
        "supernode_kv_usage_ratio", "gauge", "KV tokens that a decode instance holds, over its capacity.",
        _of_decode, _INSTANCE, _by_decode_instance,
    ),
    Family(
        "supernode_instance_up", "gauge", "1 if the instance is up, 0 while it is lost.",
        lambda s: [int(is_up) for is_up in s.is_up], _INSTANCE, _by_instance,
    ),
    Family(
        "supernode_worker_restarts_total", "counter", "Times that a worker process was lost and came back.",
        lambda s: s.restarts, ("host",), lambda layout: [(host,) for host in layout.hosts],
    ),
    Family(
        "supernode_instance_busy_seconds_total", "counter", "Time in which a pass or step ran.",
        lambda s: s.busy_s, _INSTANCE, _by_instance,
    ),
    Family(
        "supernode_instance_energy_joules_total", "counter", "Energy of the NPUs of an instance.",
        lambda s: s.joules, _INSTANCE, _by_instance,
    ),
    Family(
        "supernode_npu_utilization_ratio", "gauge",
        "Busy share of an NPU over the last stretch of at least a wall second; that of its instance.",
        _npu_utilization, _NPU, _by_npu,
    ),
    Family(
        "supernode_npu_power_watts", "gauge",
        "Power of an NPU over the last stretch of at least a wall second; an equal share of its instance's.",
        _npu_watts, _NPU, _by_npu,
    ),
    *POWER_FAMILIES,
    Family(
        "supernode_fabric_bytes_total", "counter", "Bytes of finished transfers.",
        lambda s: s.flow_bytes, ("plane", "kind"), lambda _: _FLOWS,
    ),
    Family(
        "supernode_fabric_transfers_total", "counter", "Finished transfers.",
        lambda s: s.flow_transfers, ("plane", "kind"), lambda _: _FLOWS,
    ),
    Family(
        "supernode_fabric_link_bytes_total", "counter",
        "Bytes of finished transfers by the class of links on which they left or arrived.",
        _link_bytes, ("plane", "link"), lambda _: [(one.plane.name.lower(), one.name) for one in LINK_CLASSES],
    ),
    Family(
        "supernode_fabric_failed_transfers_total", "counter", "Transfers given up because no way was left.",
        lambda s: s.fabric.failed_transfers, ("plane", "kind"), lambda _: _FLOWS,
    ),
    HistogramFamily(
        "supernode_fabric_transfer_seconds",
        "From when all data of a transfer was there to its last byte: what no pass had hidden.",
        TRANSFER_BOUNDS_S, lambda s: s.fabric.transfer_s, ("kind",), lambda _: _KINDS,
    ),
    Family(
        "supernode_fabric_hidden_seconds_total", "counter",
        "Times for which transfers flowed before all of their data was there, hidden behind the pass that made it.",
        lambda s: s.fabric.hidden_s, ("kind",), lambda _: _KINDS,
    ),
    Family(
        "supernode_fabric_capacity_bytes_per_second", "gauge",
        "What all ends of a plane carry together, one direction, when no part is broken.",
        lambda s: s.layout.plane_bytes_per_s, ("plane",), lambda _: _PLANES,
    ),
    Family(
        "supernode_fabric_lost_bytes_per_second", "gauge", "What the parts that are broken now take from that.",
        lambda s: s.fabric.lost_bytes_per_s, ("plane",), lambda _: _PLANES,
    ),
    Family(
        "supernode_fabric_failed_parts", "gauge", "Parts of the fabric that are broken now, by kind.",
        lambda s: list(count_kinds(s.fabric.failed_parts).values()), ("kind",),
        lambda _: [(kind.value,) for kind in PartKind],
    ),
    *CACHE_FAMILIES,
    HistogramFamily(
        "supernode_hop_wall_seconds", "Lateness of messages between processes, on the wall.",
        HOP_BOUNDS_S, lambda s: (s.hop_wall_s,),
    ),
)  # fmt: skip
"""In the order of exposition."""

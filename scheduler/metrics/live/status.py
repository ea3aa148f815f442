"""How `supernode status` says a snapshot: one document, whose keys scripts rely on."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from scheduler.metrics.layout import is_of_stage
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subjects import fabric
from scheduler.metrics.subjects.clock import RUN_OUTCOMES, ClockTotals
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.metrics.subjects.fabric import FabricTotals
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.metrics.subjects.requests import END_REASONS, STAGES, RequestTotals
from scheduler.metrics.subjects.scaling import KINDS, ScalingTotals, change_series, instances_by_role, roles_of
from scheduler.metrics.subjects.tokens import TokenTotals


def status(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot for a person or a script, as plain values for `json.dumps`."""
    clock, requests, tokens = snapshot[ClockTotals], snapshot[RequestTotals], snapshot[TokenTotals]
    engines, instances = snapshot[EngineTotals], snapshot[InstanceTotals]
    return {
        "emulated_s": clock.emulated_s,
        "speed": clock.speed,
        "run_active": clock.is_replaying,
        "runs": dict(zip(RUN_OUTCOMES, clock.runs, strict=True)),
        "instances": _instances(snapshot),
        "scaling": _scaling(snapshot),
        "restarts": dict(zip(snapshot.layout.hosts, instances.restarts, strict=True)),
        "stages": {
            stage: {"running": running, "waiting": waiting}
            for stage, running, waiting in zip(STAGES, requests.running, requests.waiting, strict=True)
        },
        "requests": {
            "arrived": requests.arrived,
            "ended": {r.name.lower(): count for r, count in zip(END_REASONS, requests.ended, strict=True)},
            "retries": requests.retries,
            "preemptions": sum(engines.preemptions),
        },
        "tokens": {
            "prompt": tokens.prompt,
            "computed": tokens.computed,
            "generation": sum(engines.generation_tokens),
            "cache_lookup": sum(engines.lookup_tokens),
            "cache_hit": sum(engines.hit_tokens),
        },
        "fabric": fabric.status(snapshot[FabricTotals], snapshot.layout),
        "rates": to_builtins(snapshot.rates),
        "watts": sum(instances.watts),
        "joules": sum(instances.joules),
    }


def _instances(snapshot: Snapshot) -> list[dict[str, Any]]:
    totals, first_npus = snapshot[InstanceTotals], [npus.start for npus in snapshot.layout.npus()]
    columns = (
        snapshot[ScalingTotals].phases, first_npus,
        totals.is_up, totals.utilization, totals.watts, snapshot[EngineTotals].kv_usage,
    )  # fmt: skip
    return [
        {
            "name": instance.address,
            "role": instance.role,
            "num_npus": instance.num_npus,
            "cluster": snapshot.layout.stands_in(instance).cluster,
            "chip": snapshot.layout.stands_in(instance).chip_title,
            "first_npu": first_npu,
            "planned": instance.is_planned,
            "phase": phase,
            "up": is_up,
            "utilization": utilization,
            "watts": watts,
            "kv_usage": kv_usage if is_of_stage(instance.role, "decode") else None,
        }
        for instance, phase, first_npu, is_up, utilization, watts, kv_usage in zip(
            snapshot.layout.instances, *columns, strict=True
        )
    ]


def _scaling(snapshot: Snapshot) -> dict[str, Any]:
    """How many instances there shall be and are, what was decided last, and how often."""
    totals, roles = snapshot[ScalingTotals], roles_of(snapshot.layout)
    changes = {role: dict.fromkeys(KINDS, 0) for role in roles}
    for (role, kind, _), count in zip(change_series(snapshot.layout), totals.changes, strict=True):
        changes[role][kind] += count
    return {
        "wanted": dict(zip(roles, totals.wanted, strict=True)),
        "instances": instances_by_role(snapshot),
        "changes": changes,
        "decisions": [to_builtins(one) for one in totals.decisions],
    }

"""Writes the files of a run folder that stand beside `summary.json` and `requests.csv`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from deploy.run_folder import CLIENTS_NAME, DECISIONS_NAME, FORMAT, RUN_NAME, TIMELINE_NAME
from deploy.run_folder.clients import clients_rows, write_clients
from deploy.run_folder.log import RunLog
from deploy.system.blueprint import Blueprint
from deploy.system.grounds import grounds_of
from deploy.terminal.whole_file import replacing, write_whole
from scheduler.metrics.facility import Ground
from scheduler.metrics.outcome.timeline import Timeline, timeline
from scheduler.metrics.records import Records
from scheduler.policies.view import StageKind
from scheduler.protocol.messages import FleetScaled

DISTRIBUTION: Final = "supernode-serve"

SIGNIFICANT_DIGITS: Final = 6
"""Of the numbers of a time line."""


def write_log(folder: Path, log: RunLog, title: str, records: Records, command: Sequence[str]) -> None:
    """Write time line, decisions and, last, what was run: a folder that has `run.json` is whole."""
    course = timeline(log.collector, records)
    write_whole(folder / TIMELINE_NAME, _timeline_text(course).encode())
    with replacing(folder / DECISIONS_NAME) as path, path.open("wb") as file:
        _save_decisions(file, log)
    write_clients(folder / CLIENTS_NAME, None if log.clients is None else clients_rows(log.clients, records))
    text = json.dumps(_description(log, title, course, command), indent=2, ensure_ascii=False) + "\n"
    write_whole(folder / RUN_NAME, text.encode(errors="backslashreplace"))


def _description(log: RunLog, title: str, course: Timeline, command: Sequence[str]) -> dict[str, Any]:
    blueprint, settings = log.blueprint, log.blueprint.settings
    cluster, grounds = blueprint.cluster, grounds_of(blueprint.supernodes)
    capacity = blueprint.plane_capacity_bytes_per_s()
    return {
        "format": FORMAT,
        "supernode": version(DISTRIBUTION),
        "title": title,
        "command": list(command),
        "trace": {"name": log.trace_name, "path": log.trace_path, **log.options.to_plain()},
        "config": settings.to_plain(),
        "config_digest": settings.digest(),
        "step_s": course.step_s,
        "span_s": course.span_s,
        "nodes": {
            "supernodes": len(blueprint.plan.supernodes),
            "count": cluster.num_nodes.count,
            "npus_per_node": cluster.npus_per_node.count,
            "nodes_per_rack": grounds[0].nodes_per_rack,
        },
        **({"clusters": list(_clusters(blueprint, grounds))} if blueprint.plan.has_several_clusters else {}),
        "instances": [
            {
                "address": one.address,
                "role": one.role,
                "npus": one.num_npus,
                "kv_tokens": one.kv_capacity_tokens,
                "supernode": one.supernode,
            }
            for one in blueprint.live_instances()
        ],
        "max_prompt_tokens": blueprint.max_prompt_tokens,
        "plane_bytes_per_s": {plane.name.lower(): rate for plane, rate in capacity.items()},
        "decisions": {
            **{f"{stage.value}_reasons": log.decided.reasons(stage) for stage in StageKind},
            "losses": [{"at_ns": loss.at_ns, "addresses": loss.addresses} for loss in log.collector.losses],
            "part_changes": list(_part_changes(log.collector.part_changes)),
            **({"scaling": list(_scalings(log.collector.scalings))} if log.collector.comes_and_goes else {}),
        },
    }


def _clusters(blueprint: Blueprint, grounds: Sequence[Ground]) -> Iterator[dict[str, Any]]:
    """What each supernode is, where that is not the same."""
    for one, ground in zip(blueprint.supernodes, grounds, strict=True):
        yield {
            "cluster": one.name,
            "chip": one.chip.title,
            "count": one.num_nodes.count,
            "npus_per_node": ground.npus_per_node,
            "nodes_per_rack": ground.nodes_per_rack,
        }


def _part_changes(changes: Sequence[tuple[int, Sequence[str]]]) -> Iterator[dict[str, Any]]:
    """What broke and what was repaired each time, of (time, parts that are broken from then on)."""
    before: set[str] = set()
    for at_ns, failed_parts in changes:
        after = set(failed_parts)
        yield {"at_ns": at_ns, "broken": sorted(after - before), "mended": sorted(before - after)}
        before = after


def _scalings(scalings: Sequence[tuple[int, FleetScaled]]) -> Iterator[dict[str, Any]]:
    """When it was decided that instances come or go, how many there shall be, why, and which."""
    for at_ns, said in scalings:
        wanted = dict(zip(said.roles, said.wanted, strict=True))
        named = {name: getattr(said, name) for name in ("started", "booked", "kept", "drained", "cancelled")}
        which = {name: addresses for name, addresses in named.items() if addresses}
        yield {"at_ns": at_ns, "wanted": wanted, "reason": said.reason, "which": which}


def _timeline_text(course: Timeline) -> str:
    columns = [[f"{value:.{SIGNIFICANT_DIGITS}g}" for value in column.tolist()] for column in course.columns.values()]
    lines = [",".join(course.columns), *map(",".join, zip(*columns, strict=True))]
    return "\n".join(lines) + "\n"


def _save_decisions(file: IO[bytes], log: RunLog) -> None:
    prefill, decode = log.decided.rows(StageKind.PREFILL), log.decided.rows(StageKind.DECODE)
    np.savez(
        file,
        prefill=prefill,
        decode=decode,
        preempted=log.collector.preempted_rows(),
        prefill_choices=log.decided.choices(StageKind.PREFILL),
        decode_choices=log.decided.choices(StageKind.DECODE),
    )

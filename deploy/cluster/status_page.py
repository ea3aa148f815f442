"""The status of a standing cluster as text: one block for each question that a person has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from deploy.admin.spec import PATH as ADMIN_PATH
from deploy.cluster.state import ClusterState
from scheduler.protocol.fabric_parts import in_order

NOT_THERE: Final = ("absent", "booked")
COMES_OR_GOES: Final = (*NOT_THERE, "starting", "draining", "stopping")
"""Phases that an autoscaler or an operator has brought about."""

MAX_PARTS: Final = 8
"""Broken parts that are named."""


def render_status(state: ClusterState, seen: dict[str, Any], log_path: Path) -> str:
    """`seen` is the JSON that the control plane serves at `/status`."""
    blocks = [
        _about(state, seen, log_path), _stages(seen), _instances(seen["instances"]), _scaling(seen), _totals(seen)
    ]  # fmt: skip
    return "\n".join(filter(None, blocks))


def _about(state: ClusterState, seen: dict[str, Any], log_path: Path) -> str:
    config = state.config
    rows = [
        ("Cluster", f"{config['model']} on {config['cluster']}, plan {config['plan']}, policy {config['policy']}"),
        ("Now", _now(seen)),
        ("Up since", state.started_at),
        ("Metrics", f"http://{state.metrics_address}/metrics"),
    ]
    if state.http_address:
        rows.append(("HTTP", f"http://{state.http_address}/v1"))
    if state.admin_address:
        rows.append(("Admin", f"http://{state.admin_address}{ADMIN_PATH}"))
    if state.prometheus_address:
        rows.append(("Prometheus", f"http://{state.prometheus_address}"))
    if state.line:
        rows.append(("Trouble", state.line))
    rows += [("Waiting", f"{host} {line}") for host, line in seen.get("progress", {}).get("waiting", {}).items()]
    rows += [("Ray", state.note or state.ray_address), ("Log", str(log_path))]
    return "".join(f"{name:<12}{text}\n" for name, text in rows)


def _now(seen: dict[str, Any]) -> str:
    progress = seen.get("progress", {})
    if seen["phase"] == "replaying":
        done = progress.get("num_requests", 0) - progress.get("num_open", 0)
        left_s = progress.get("patience_left_s")
        stalled = "" if left_s is None else f"; nothing reaches them, they are given up in {left_s:.0f} s"
        return (
            f"replaying {seen['run']} at {seen['speed']:g} times real speed: {progress.get('emulated_s', 0.0):,.0f} s "
            f"emulated, {done:,} requests done, {progress.get('num_open', 0):,} open{stalled}"
        )
    if seen["phase"] == "broken":
        return f"broken: {seen['error']}"
    return "idle; replay into it with 'supernode replay TRACE --live'"


def _stages(seen: dict[str, Any]) -> str:
    rows = [("Stage", "running", "waiting")]
    for stage, counts in seen["stages"].items():
        rows.append((stage.replace("_", "-").capitalize(), f"{counts['running']:,}", f"{counts['waiting']:,}"))
    return _table(rows)


def _instances(instances: list[dict[str, Any]]) -> str:
    """Those that are not there, but for the plan's, are only counted."""
    shown = [one for one in instances if one["planned"] or one["phase"] not in NOT_THERE]
    has_several = len({one["cluster"] for one in shown}) > 1
    head = ["Instance", "NPUs", "first NPU", "up", "busy", "power", "per NPU", "KV used"]
    rows: list[Sequence[str]] = [[*head, "chip"] if has_several else head]
    for one in shown:
        kv_usage = "-" if one["kv_usage"] is None else f"{one['kv_usage']:.1%}"
        watts = one["watts"]
        rows.append(
            (
                one["name"],
                f"{one['num_npus']}",
                f"{one['first_npu']}",
                one["phase"] if one["phase"] in COMES_OR_GOES else "yes" if one["up"] else "NO",
                f"{one['utilization']:.1%}",
                f"{watts / 1000:.1f} kW",
                f"{watts / one['num_npus']:.0f} W",
                kv_usage,
                *([one["chip"]] if has_several else []),
            )
        )
    total_npus = sum(one["num_npus"] for one in shown if one["phase"] not in NOT_THERE)
    total_kw = sum(one["watts"] for one in shown) / 1000
    num_up = sum(one["up"] for one in shown)
    empty = [""] * (3 if has_several else 2)
    rows.append(("all", f"{total_npus}", "", f"{num_up}/{len(shown)}", "", f"{total_kw:.1f} kW", *empty))
    num_more = len(instances) - len(shown)
    more = f"{num_more} more are not there; an autoscaler or an operator may start them\n" if num_more else ""
    return _table(rows) + more


def _scaling(seen: dict[str, Any]) -> str:
    """What was decided last; nothing where nobody has."""
    rows: list[str] = []
    for one in seen["scaling"]["decisions"]:
        wanted = ", ".join(f"{count} {role}" for role, count in one["wanted"].items())
        actions = "; ".join(f"{name} {', '.join(addresses)}" for name, addresses in one["actions"].items())
        at = f"at {one['at_s']:,.0f} s"
        who = one["policy"] if one["policy"] == one["reason"] else f"{one['policy']}: {one['reason']}"
        rows.append(f"{at:<12}{who}; wants {wanted}; {actions}\n")
    return "".join(["Scaling\n", *rows]) if rows else ""


def _totals(seen: dict[str, Any]) -> str:
    rates, requests, tokens = seen["rates"], seen["requests"], seen["tokens"]
    ended = ", ".join(f"{count:,} {reason}" for reason, count in requests["ended"].items() if count) or "none"
    looked_up = tokens["cache_lookup"]
    hit_rate = f"{tokens['cache_hit'] / looked_up:.1%}" if looked_up else "-"
    restarts = sum(seen["restarts"].values())
    rows = [
        (
            "Rates",
            f"{rates['requests_per_s']:,.1f} requests/s, {rates['input_tokens_per_s']:,.0f} input and "
            f"{rates['output_tokens_per_s']:,.0f} output tokens/s (of emulated time, last 10 s)",
        ),
        ("Requests", f"{requests['arrived']:,} arrived; ended: {ended}; {requests['retries']:,} retries"),
        ("Tokens", f"{tokens['prompt']:,} in, {tokens['generation']:,} out; cache hit rate {hit_rate}"),
        ("Energy", f"{seen['joules'] / 1e6:,.2f} MJ in {seen['emulated_s']:,.0f} s of emulated time (NPUs only)"),
        ("Restarts", f"{restarts:,} of worker processes"),
        ("Fabric", _broken(seen["fabric"])),
    ]
    return "".join(f"{name:<12}{text}\n" for name, text in rows)


def _broken(fabric: dict[str, Any]) -> str:
    parts = in_order(fabric["failed_parts"])
    if not parts:
        return "no part is broken"
    shown = ", ".join(parts[:MAX_PARTS]) + (f" and {len(parts) - MAX_PARTS:,} more" if len(parts) > MAX_PARTS else "")
    lost = ", ".join(f"{plane.upper()} {share:.2%}" for plane, share in fabric["lost"].items() if share)
    return f"broken: {shown}; lost: {lost or 'nothing'}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[0] = max(widths[0], 12)
    lines = (
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)

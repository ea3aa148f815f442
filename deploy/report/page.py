"""The page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from typing import Any, Final

import numpy as np

from deploy.pages.document import Tile, amount, document, grid, section, settings, span, table, tiles
from deploy.report.chart import COLOURS, Curve
from deploy.report.classes import classes_section
from deploy.report.clients import clients_section
from deploy.report.course import Course, over_time
from deploy.report.energy import energy_section
from deploy.report.fabric import fabric_section
from deploy.report.fleet_map import BUSY_HUE, POWER_HUE, Measure, busy_over_time, map_of
from deploy.report.latency import distributions, latency_course, latency_table
from deploy.report.policy_warnings import policy_warnings
from deploy.report.scaling import scaling_section
from deploy.report.waterfall import slowest
from deploy.run_folder.read import RunFolder
from deploy.settings.settings import DEFAULTS
from scheduler.metrics.columns import Floats

USE: Final = Measure("Utilisation", "busy share of the whole run", "percentunit", 1.0, BUSY_HUE)
GOOD_ATTAINMENT: Final = 0.99


def run_page(run: RunFolder) -> str:
    """One self-contained HTML file; InputError if a file of the folder is torn."""
    course = Course(run)
    parts = [_head(run), _requests_section(run), *classes_section(run.summary), _latency_section(run)]
    parts += clients_section(run)
    parts += scaling_section(run)
    if len(course):
        parts += [_load_section(run, course), _fleet_section(run, course), fabric_section(run, course)]
        parts.append(energy_section(run, course))
    parts += [_slowest_section(run), _settings_section(run), _footer(run)]
    return document(run.title, "\n".join(parts))


def _head(run: RunFolder) -> str:
    config, summary = run.config, run.summary
    how = "live on Ray" if "live" in summary else "on the virtual clock"
    lead = (
        f"{config['model']} on {config['cluster']}, plan {config['plan']}, policy {config['policy']}. "
        f"{run.num_arrived:,} requests in {span(run.span_s)} simulated {how}, seed {config['seed']}."
    )
    warn = '<p class="warn">This run was interrupted: what was still open then has failed.</p>'
    partial = (warn if summary.get("partial") else "") + _not_served(summary) + _left_out(summary)
    return (
        f'<h1>{escape(str(run.trace["name"]))}</h1><p class="lead">{escape(lead)}</p>{partial}'
        f"{policy_warnings(summary)}{tiles(headline(run.summary))}"
    )


def _left_out(summary: Mapping[str, Any]) -> str:
    """What the figures leave out; charts show all."""
    warmup = summary.get("warmup")
    if warmup is None:
        return ""
    text = (
        f"Figures leave out the warm-up: {warmup['requests']:,} requests, the first {span(warmup['ended_s'])}. "
        "Charts, and the map of the fleet, show the whole run."
    )
    return f'<p class="about">{escape(text)}</p>'


def _not_served(summary: Mapping[str, Any]) -> str:
    """A warning that says how many requests did not finish, and why; empty if all did."""
    requests, limits = summary["requests"], summary.get("finish_limits", {})
    num_lost = requests["rejected"] + requests["failed"]
    if not num_lost:
        return ""
    ends = (f"{name} {summary['finish_reasons'][name]:,} ({limit})" for name, limit in limits.items())
    text = f"{num_lost:,} of {requests['arrived']:,} requests were not served: {'; '.join(ends)}."
    return f'<p class="warn">{escape(text)}</p>'


def headline(summary: Mapping[str, Any]) -> list[Tile]:
    """The figures that are asked for first."""
    of: list[Tile] = []
    if (slo := summary.get("slo")) is not None:
        attainment = slo["attainment"]
        mood = "" if attainment is None else "good" if attainment >= GOOD_ATTAINMENT else "bad"
        of.append(Tile("SLO attained", amount("percentunit", attainment), mood))
        of.append(Tile("Goodput", amount("reqps", slo["goodput_requests_per_s"])))
    cache, energy = summary["cache"], summary["energy"]
    hit_rate = cache["hit_tokens"] / cache["lookup_tokens"] if cache["lookup_tokens"] else None
    return [
        *of,
        Tile("TTFT, median", amount("s", summary["ttft_s"]["p50"])),
        Tile("TTFT, p99", amount("s", summary["ttft_s"]["p99"])),
        Tile("TPOT, median", amount("s", summary["tpot_s"]["p50"])),
        Tile("TPOT, p99", amount("s", summary["tpot_s"]["p99"])),
        Tile("Output", amount("si:tok/s", summary["throughput"]["output_tokens_per_s"])),
        Tile("Cache hit rate", amount("percentunit", hit_rate)),
        Tile("Mean power", amount("watt", energy["mean_watts"])),
        Tile("Energy per token", amount("joule", energy["joules_per_output_token"])),
    ]


def _requests_section(run: RunFolder) -> str:
    summary = run.summary
    rows = [(name, f"{count:,}") for name, count in summary["requests"].items()]
    rows.append(("preemptions", f"{summary['preemptions']:,}"))
    tokens = [(name.replace("_", " "), f"{count:,}") for name, count in summary.get("tokens", {}).items()]
    of_tokens = table([f"{name} tokens" for name, _ in tokens], [[value for _, value in tokens]]) if tokens else ""
    limits = summary.get("finish_limits", {})
    ended = [
        (name.replace("_", " "), f"{count:,}", limits.get(name, ""))
        for name, count in summary["finish_reasons"].items()
        if count
    ]
    ends = table(("Ended by", "requests", "limit"), ended) if ended else ""
    did = {name.replace("_", " "): f"{count:,}" for name, count in summary.get("cache_policy", {}).items()}
    policy = table(("Cache policy", ""), list(did.items())) if did else ""
    notes = [f"{amount('s', at_ns / 1e9)}: lost {', '.join(addresses)}" for at_ns, addresses in run.losses]
    lost = table(("Workers lost",), [(note,) for note in notes]) if notes else ""
    return section(
        "Requests", "", table([name for name, _ in rows], [[value for _, value in rows]]), of_tokens, policy, ends, lost
    )


def _latency_section(run: RunFolder) -> str:
    return section(
        "Latency",
        "In simulated time, from a request's arrival at the gateway. Dashed lines are the limits of the SLO.",
        latency_table(run.summary),
        grid(*distributions([("all requests", run)])),
        grid(latency_course(run, "ttft_s", "TTFT"), latency_course(run, "tpot_s", "TPOT")) if run.span_s else "",
    )


def _load_section(run: RunFolder, course: Course) -> str:
    arriving = _curves(("arrived", course.rate("arrived")), ("finished", course.rate("finished")))
    prompts = _curves(("prompt", course.mean("input_tokens_per_s")))
    outputs = _curves(("output", course.mean("output_tokens_per_s")))
    at_work = [
        Curve("in prefill", course.mean("in_prefill"), COLOURS[0]),
        Curve("waiting for prefill", course.mean("waiting_prefill"), COLOURS[5]),
        Curve("waiting for room, handed over", course.mean("in_hand_over"), COLOURS[4]),
    ]
    decoding = _curves(("running", course.mean("in_decode")))
    kv = {one.address: one.kv_tokens for one in run.instances}
    shares = {address: column / kv[address] for address, column in course.by_instance("kv_tokens").items()}
    held = _curves(*_told_apart(shares))
    hits = _curves(("hit rate", course.ratio("hit_tokens", "lookup_tokens")))
    return section(
        "Load over time",
        "What arrived, what waited and what ran; means over each step of the time line.",
        grid(
            over_time(course, "Requests per second", "arrived at the gateway, and finished", arriving, "reqps"),
            over_time(course, "Prompt tokens per second", "when their first token is out", prompts, "si:tok/s"),
            over_time(course, "Output tokens per second", "on all decode instances", outputs, "si:tok/s"),
            over_time(course, "Requests before decode", "by stage", at_work, "none", is_stacked=True),
            over_time(course, "Decode batch", "sequences running on all decode instances", decoding, "none"),
            over_time(course, "KV held by decode instances", "share of their capacity", held, "percentunit"),
            over_time(course, "Prefix cache", "share of prompt tokens that came from it", hits, "percentunit", top=1.0)
            if run.summary["cache"]["lookup_tokens"]
            else "",
        ),
    )


def _told_apart(shares: Mapping[str, Floats]) -> list[tuple[str, Floats]]:
    """Each by name, or the fullest, the mean and the emptiest at each time of more than can be told apart."""
    if len(shares) <= len(COLOURS):
        return list(shares.items())
    of_all = np.array(list(shares.values()))
    return [("fullest", of_all.max(axis=0)), ("mean", of_all.mean(axis=0)), ("emptiest", of_all.min(axis=0))]


def _curves(*named: tuple[str, Floats]) -> list[Curve]:
    return [Curve(name, values, COLOURS[place % len(COLOURS)]) for place, (name, values) in enumerate(named)]


def _fleet_section(run: RunFolder, course: Course) -> str:
    busy = {one.address: course.overall(f"busy:{one.address}") for one in run.instances}
    watts = {one.address: course.overall(f"watts:{one.address}") / one.num_npus for one in run.instances}
    if run.comes_and_goes:
        about = "Each instance that there was. NPUs change hands, so there is no map of them."
        return section("The supernode", about, grid(busy_over_time(run, course)), _clusters_table(run))
    power = Measure("Power", "mean watts of each NPU", "watt", max(watts.values(), default=1.0), POWER_HUE)
    return section(
        "The supernode" if len(run.supernodes) == 1 else "The supernodes",
        f"A column is a node of {run.supernodes[0].npus_per_node} NPUs, a wider gap ends a rack. All NPUs of an "
        "instance step together, so they share one shade.",
        grid(
            *(map_of(run, index, USE, busy) for index in range(len(run.supernodes))),
            *(map_of(run, index, power, watts) for index in range(len(run.supernodes))),
            busy_over_time(run, course),
        ),
        _clusters_table(run),
    )


def _clusters_table(run: RunFolder) -> str:
    """What those of a fleet of several did."""
    clusters: Mapping[str, Mapping[str, Any]] = run.summary.get("clusters", {})
    head = ("Cluster", "chip", "NPUs", "serving", "busy", "per NPU", "energy")
    rows = [
        (
            name,
            one["chip"],
            f"{one['npus']:,}",
            amount("none", one["instance_npus"]),
            amount("percentunit", one["utilization"]),
            amount("watt", one["watts"]),
            amount("joule", one["joules"]),
        )
        for name, one in clusters.items()
    ]
    return table(head, rows) if rows else ""


def _slowest_section(run: RunFolder) -> str:
    return section(
        "Slowest requests",
        "",
        grid(
            slowest(run, "ttft_s", "Longest to the first token", "prefill"),
            slowest(run, "e2e_s", "Longest from arrival to the last token", None),
        ),
    )


def _settings_section(run: RunFolder) -> str:
    given = {f"trace {name}": value for name, value in run.trace.items()}
    return section(
        "Configuration",
        "Settings that differ from the default stand out.",
        f'<div class="card"><pre>{escape(shlex.join(run.command))}</pre></div>',
        settings({**run.config, **given}, DEFAULTS),
    )


def _footer(run: RunFolder) -> str:
    text = f"supernode {run.run['supernode']}, configuration {run.run['config_digest']}"
    return f"<footer>{escape(text)}</footer>"

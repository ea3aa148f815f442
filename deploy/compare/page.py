"""A comparison as people read it: one row for each variant, numbers below one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from deploy.compare.comparison import Compared, idle_misses
from deploy.compare.electricity import electricity_block
from deploy.compare.idle import idle_lines
from deploy.hardware.quantities import quantity
from deploy.terminal.table import table
from sim_hw.clusters.supernode import Supernode
from sim_hw.clusters.totals import totals

NOTHING: Final = "-"

MAX_CURVES: Final = 3
"""Of more variants the rates that were tried are told by `--json` alone."""


def comparison_page(compared: Sequence[Compared], clusters: Sequence[Supernode], title: str) -> str:
    """Hardware first where it differs, then what came of the runs."""
    blocks = [title]
    if len(clusters) > 1:
        blocks.append(_hardware(clusters))
    documents = [(one.variant.name, one.to_json()) for one in compared]
    blocks += _runs(documents, says_how=len(clusters) > 1)
    blocks += _not_served(documents)
    electricity = electricity_block(compared) if len(clusters) > 1 else None
    if electricity is not None:
        blocks.append(electricity)
    searched = [one for one in compared if one.goodput is not None]
    hopeless = [one for one in compared if one.goodput is not None and idle_misses(one.goodput)]
    curves = [_curve(one) for one in searched] if len(searched) <= MAX_CURVES else []
    blocks += [_idle(one) for one in hopeless]
    return "\n\n".join(blocks + curves) + "\n"


def _hardware(clusters: Sequence[Supernode]) -> str:
    header = ("Hardware", "NPUs", "BF16 dense", "HBM", "HBM bandwidth", "racks", "provisioned", "price")
    rows: list[tuple[str, ...]] = [header]
    for one in clusters:
        sums = totals(one)
        cells = (
            quantity(sums.flops["bf16"], "FLOP/s"),
            quantity(sums.hbm_bytes, "B"),
            quantity(sums.hbm_bytes_per_s, "B/s"),
            f"{sums.compute_racks + sums.network_racks}",
            quantity(sums.provisioned_w, "W"),
            quantity(sums.price_usd, "USD"),
        )
        rows.append((f"  {one.name}", f"{sums.npus:,}", *cells))
    return table(rows, range(1, len(header)))


Column = tuple[str, Callable[[dict[str, Any]], str]]


def _runs(documents: Sequence[tuple[str, dict[str, Any]]], *, says_how: bool) -> list[str]:
    """A block for each question, narrow enough for a terminal."""
    classes = _class_columns([one for _, one in documents])
    blocks = [
        _block("Runs", (*(_HOW if says_how else ()), *_LATENCY), documents),
        _block("Served", (*_SERVED, *classes), documents),
        *([_block("Clients", _CLIENTS, documents)] if any("clients" in one["run"] for _, one in documents) else []),
        _block("Used", _USED, documents),
    ]
    return [*blocks[:-1], f"{blocks[-1]}\n  {_SCOPES}"] if says_how else blocks


def _block(title: str, known: Sequence[Column], documents: Sequence[tuple[str, dict[str, Any]]]) -> str:
    columns = [column for column in known if any(column[1](one) != NOTHING for _, one in documents)]
    rows = [(title, *(name for name, _ in columns))]
    rows += [(f"  {name}", *(cell(one) for _, cell in columns)) for name, one in documents]
    return table(rows, range(1, len(columns) + 1))


def _not_served(documents: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """One block that tells for each run by which limit requests were not served; none if all were."""
    rows = [
        (f"  {name}", reason, f"{one['run']['finish_reasons'][reason]:,}", limit)
        for name, one in documents
        for reason, limit in one["run"].get("finish_limits", {}).items()
    ]
    return [table([("Not served", "ended by", "requests", "limit"), *rows], (2,))] if rows else []


def _class_columns(documents: Sequence[dict[str, Any]]) -> list[Column]:
    """Two for each class that any of them has: share and rate of requests within its limits."""
    names = dict.fromkeys(name for one in documents for name in one["run"].get("classes", {}))
    return [
        column
        for name in names
        for column in (
            (f"{name}: attained", _of_class(name, "attainment", _share)),
            ("req/s", _of_class(name, "goodput_requests_per_s", _number)),
        )
    ]


def _of_class(name: str, key: str, show: Callable[[float], str]) -> Callable[[dict[str, Any]], str]:
    """Of a class that has requests; its name may hold points, which paths do not."""

    def cell(document: dict[str, Any]) -> str:
        use = document["run"].get("classes", {}).get(name)
        if use is None or not use["requests"]["arrived"]:
            return NOTHING
        return show(float(use["slo"][key] or 0.0))

    return cell


def _idle(one: Compared) -> str:
    """Why there is no goodput."""
    assert one.goodput is not None
    misses = idle_misses(one.goodput)
    lines = [] if misses is None else idle_lines(misses, one.variant.settings)
    return "\n".join(
        (f"No goodput, {one.variant.name}: the SLO is attained at no rate", *(f"  {line}" for line in lines))
    )


def _curve(one: Compared) -> str:
    assert one.goodput is not None
    rows = [(f"Rates, {one.variant.name}", "offered", "attained")]
    rows += [
        (f"  x {scale:.4g}", f"{run.offered_requests_per_s:,.4g} req/s", f"{100 * run.attainment:.1f} %")
        for scale, run in one.goodput.tried.items()
    ]
    return table(rows, (1, 2))


def _at(path: str, show: Callable[[float], str]) -> Callable[[dict[str, Any]], str]:
    def cell(document: dict[str, Any]) -> str:
        value: Any = document
        for key in path.split("."):
            value = None if value is None else value.get(key)
        return NOTHING if value is None else show(float(value))

    return cell


def _seconds(value: float) -> str:
    return quantity(value, "s") if value else NOTHING


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _hit_rate(document: dict[str, Any]) -> str:
    cache = document["run"]["cache"]
    return _share(cache["hit_tokens"] / cache["lookup_tokens"]) if cache["lookup_tokens"] else NOTHING


def _supernode_joules(document: dict[str, Any]) -> str:
    energy = document["run"]["energy"]
    at_feeds, ratio = energy["supernode"], energy["joules_per_output_token"]
    return _number(at_feeds["joules"] * ratio / energy["joules"]) if at_feeds and ratio else NOTHING


def _number(value: float) -> str:
    return f"{value:,.4g}"


def _policy_failures(document: dict[str, Any]) -> str:
    """A policy that failed shows the fallback's figures, so it is said first."""
    total = document["run"]["policy_failures"]["total"]
    return f"{total:,} times" if total else NOTHING


def _text(key: str) -> Callable[[dict[str, Any]], str]:
    return lambda document: str(document[key])


_SCOPES: Final = (
    "J/token is of the NPUs of the plan and, at feeds, of the whole cluster; $/Mtok is of the whole cluster\n"
    "  if it is bought, of the NPUs of the plan if they are rented"
)

_HOW: Final[tuple[Column, ...]] = (("plan", _text("plan")), ("cache", _text("cache")))
"""What clusters run on unless they are told otherwise differs."""

# A column in which no variant has anything is left out.

_LATENCY: Final[tuple[Column, ...]] = (
    ("POLICY FAILED", _policy_failures),
    ("TTFT p50", _at("run.ttft_s.p50", _seconds)),
    ("p90", _at("run.ttft_s.p90", _seconds)),
    ("p95", _at("run.ttft_s.p95", _seconds)),
    ("p99", _at("run.ttft_s.p99", _seconds)),
    ("TPOT p50", _at("run.tpot_s.p50", _seconds)),
    ("p90 ", _at("run.tpot_s.p90", _seconds)),
    ("p95 ", _at("run.tpot_s.p95", _seconds)),
    ("p99 ", _at("run.tpot_s.p99", _seconds)),
)

_SERVED: Final[tuple[Column, ...]] = (
    ("req/s", _at("run.throughput.requests_per_s", _number)),
    ("attained", _at("run.slo.attainment", _share)),
    ("within SLO req/s", _at("run.slo.goodput_requests_per_s", _number)),
    ("goodput req/s", _at("goodput.requests_per_s", _number)),
    ("per NPU of plan", _at("goodput.requests_per_s_per_npu", _number)),
    ("hit rate", _hit_rate),
    ("rejected", _at("run.requests.rejected", _number)),
    ("failed", _at("run.requests.failed", _number)),
)

_CLIENTS: Final[tuple[Column, ...]] = (
    ("in flight", _at("run.clients.in_flight_mean", _number)),
    ("peak", _at("run.clients.in_flight_peak", _number)),
    ("req/s", _at("run.clients.achieved_requests_per_s", _number)),
    ("E2E mean", _at("run.e2e_s.mean", _seconds)),
    ("sessions done", _at("run.sessions.completed", _number)),
    ("time p50", _at("run.sessions.e2e_s.p50", _seconds)),
    ("p95", _at("run.sessions.e2e_s.p95", _seconds)),
    ("p99", _at("run.sessions.e2e_s.p99", _seconds)),
)

_USED: Final[tuple[Column, ...]] = (
    ("prefill busy", _at("run.per_npu.prefill.utilization", _share)),
    ("tok/s per decode NPU", _at("run.per_npu.decode.tokens_per_s", _number)),
    ("J/token, NPUs", _at("run.energy.joules_per_output_token", _number)),
    ("at feeds", _supernode_joules),
    ("$/Mtok in", _at("run.cost.usd_per_million_input_tokens", _number)),
    ("$/Mtok out", _at("run.cost.usd_per_million_output_tokens", _number)),
)

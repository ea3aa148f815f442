"""The JSON of a run: its keys by the contract, its numbers by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scheduler.core.request_table import RequestTable
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.outcome.ended_run import RunInfo
from scheduler.metrics.outcome.summary import summarize
from scheduler.metrics.slo import Slo
from scheduler.protocol.fabric_messages import Plane
from scheduler.protocol.finish import FinishReason
from tests.unit.scheduler.metrics.logged import (
    DECODE,
    PREFILL,
    SECOND,
    Request,
    collector_of,
    end_run,
    final,
    moved,
    one_token,
    passed,
    rejected,
    stepped,
    table_of,
    usage,
)

DISTRIBUTION = ["mean", "p50", "p90", "p95", "p99", "max"]
TIER = ["capacity_tokens", "held_tokens", "found_tokens", "evicted_blocks", "read_bytes", "written_bytes"]
ROLE = ["tokens_per_s", "utilization", "watts"]
LINK = ["bytes", "utilization_mean", "utilization_peak"]


def _plane(*links: str) -> dict[str, Any]:
    values = ("exposed_s", "hidden_s", "availability", "failed_transfers")
    use = {**dict.fromkeys(LINK), "transfer_s": DISTRIBUTION, **dict.fromkeys(values)}
    return {**use, "links": dict.fromkeys(links, LINK)}


CONTRACT: dict[str, Any] = {
    "requests": ["arrived", "finished", "rejected", "failed", "retried"],
    "finish_reasons": [
        "stop",
        "length",
        "admission",
        "overload",
        "too_long",
        "timed_out",
        "cancelled",
        "retries_exhausted",
        "interrupted",
    ],
    "ttft_s": DISTRIBUTION,
    "tpot_s": DISTRIBUTION,
    "itl_s": DISTRIBUTION,
    "e2e_s": DISTRIBUTION,
    "queue_s": DISTRIBUTION,
    "throughput": ["requests_per_s", "input_tokens_per_s", "output_tokens_per_s"],
    "tokens": ["prompt", "output", "computed", "wasted_prompt", "wasted_output"],
    "per_npu": {"prefill": ROLE, "decode": ROLE},
    "decode_load": ["batch_per_npu", "kv_used_mean", "kv_used_peak", "kv_free_least"],
    "slo": ["attainment", "goodput_requests_per_s"],
    "cache": {
        "hit_tokens": None,
        "lookup_tokens": None,
        "pool": {
            "num_servers": None,
            "asked_tokens": None,
            "dram": TIER,
            "ssd": TIER,
            "stored_tokens": None,
            "dedup_ratio": None,
            "evicted_age_s": None,
            "lost_blocks": None,
            "moved_blocks": None,
        },
    },
    "fabric": {
        "ub": _plane("npu_out", "npu_in", "pool_out", "pool_in"),
        "rdma": _plane("npu_out", "npu_in"),
        "vpc": _plane("card_out", "card_in"),
    },
    "energy": [
        "scope",
        "joules",
        "joules_per_output_token",
        "mean_watts",
        "peak_watts",
        "supernode",
        "facility",
        "facility_joules_per_output_token",
        "joules_per_request",
        "tokens_per_joule",
        "by",
        "by_plane",
        "by_rack",
        "by_node",
        "plan",
    ],
    "cost": ["usd", "usd_per_million_input_tokens", "usd_per_million_output_tokens", "plan"],
    "preemptions": None,
    "simulated_s": None,
    "wall_s": None,
    "seed": None,
    "config_digest": None,
}
"""Every key of `replay --json` (DESIGN.md, "Command-line contract") in its order."""


def json_of(
    collector: Collector, slo: Slo | None = None, rdma_bytes_per_s: float = 0.0, *, has_prefix_cache: bool = True
) -> dict[str, Any]:
    """What `replay --json` would print."""
    info = RunInfo(1.25, 7, "abc", {Plane.RDMA: rdma_bytes_per_s}, has_prefix_cache)
    return summarize(collector, info, slo).to_json()


def keys_of(value: object) -> object:
    """The same nesting with keys only, a group of plain values as a list."""
    if not isinstance(value, dict):
        return None
    nested = {key: keys_of(inner) for key, inner in value.items()}
    return nested if any(nested.values()) else list(nested)


def test_keys_are_the_contract() -> None:
    for collector in (end_run(collector_of(), 0), end_run(collector_of(table_of(Request())), SECOND)):
        found = json_of(collector, Slo(ttft_s=1.0))
        assert keys_of(found) == CONTRACT
        assert list(found) == list(CONTRACT)


def test_a_run_of_nothing_is_null_and_still_json() -> None:
    found = json_of(end_run(collector_of(), 0))
    assert found["slo"] is None
    assert set(found["itl_s"].values()) == set(found["ttft_s"].values()) == {None}
    assert found["throughput"] == dict.fromkeys(CONTRACT["throughput"])
    assert found["requests"]["arrived"] == sum(found["finish_reasons"].values()) == 0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def run_of_four() -> Collector:
    """Two that finish, one of them with one token; one rejected; one interrupted. Ten seconds."""
    table = table_of(
        Request(prompt_tokens=100, cached_tokens=40, output_tokens=3),
        one_token(first_token_ns=4 * SECOND),
        rejected(reason=FinishReason.TOO_LONG),
        Request(reason=FinishReason.INTERRUPTED, decode_started_ns=-1, output_tokens=1),
    )
    first, second = MeteredInstance("p0", "prefill", 10), MeteredInstance("p1", "prefill", 30)
    return end_run(
        collector_of(
            table,
            (first, second, DECODE),
            passed(0, started=[0, 1, 3], at="p0"),
            passed(2 * SECOND, done=[0], computed=60, at="p0", account=usage(0, 2 * SECOND, 2 * SECOND, 100.0)),
            passed(4 * SECOND, done=[1], computed=140, at="p1", account=usage(0, 4 * SECOND, 4 * SECOND, 800.0)),
            stepped(3 * SECOND, started=[0], account=usage(0, 3 * SECOND, 0, 30.0)),
            stepped(6 * SECOND, [SECOND, 2 * SECOND], account=usage(3 * SECOND, 6 * SECOND, 3 * SECOND, 300.0)),
            moved(2 * SECOND, num_bytes=600, duration_ns=2 * SECOND),
            moved(5 * SECOND, num_bytes=100, duration_ns=SECOND // 2),
            moved(5 * SECOND, num_bytes=9, plane=Plane.UB),
            final(usage(2 * SECOND, 10 * SECOND, 0, 80.0), "p0"),
            final(usage(4 * SECOND, 10 * SECOND, 0, 60.0), "p1"),
            final(usage(6 * SECOND, 10 * SECOND, 0, 40.0), "decode-0"),
        ),
        10 * SECOND,
    )


def test_numbers_by_hand() -> None:
    found = json_of(run_of_four(), Slo(ttft_s=3.0), rdma_bytes_per_s=1000.0)
    assert found["requests"] == {"arrived": 4, "finished": 2, "rejected": 1, "failed": 1, "retried": 0}
    assert {name for name, count in found["finish_reasons"].items() if count} == {"stop", "too_long", "interrupted"}
    assert found["ttft_s"]["mean"] == pytest.approx((2 + 4 + 2) / 3)
    assert found["tpot_s"]["max"] == found["tpot_s"]["p50"] == 2.0
    assert (found["itl_s"]["mean"], found["itl_s"]["max"]) == (2.0, 2.0)  # 2 s to 4 s, then to 6 s
    assert found["throughput"] == {"requests_per_s": 0.2, "input_tokens_per_s": 30.0, "output_tokens_per_s": 0.5}
    # The interrupted one has had its prompt computed and a token produced.
    assert found["tokens"] == {"prompt": 300, "output": 5, "computed": 200, "wasted_prompt": 100, "wasted_output": 1}
    assert found["per_npu"]["prefill"] == {
        "tokens_per_s": 0.5,  # 200 / 10 s / 40 NPUs
        "utilization": (2 * 10 + 4 * 30) / 400,
        "watts": 2.6,  # 1040 J / 10 s / 40
    }
    assert found["per_npu"]["decode"] == {
        "tokens_per_s": 2 / 10 / 160,
        "utilization": 0.3,
        "watts": 370 / 10 / 160,
    }
    assert found["slo"] == {"attainment": 0.25, "goodput_requests_per_s": 0.1}
    assert (found["cache"]["hit_tokens"], found["cache"]["lookup_tokens"]) == (40, 300)
    assert found["fabric"]["rdma"]["bytes"] == 700
    assert found["fabric"]["rdma"]["utilization_mean"] == 0.07
    assert found["fabric"]["rdma"]["utilization_peak"] == 0.3
    assert (found["fabric"]["rdma"]["transfer_s"]["p50"], found["fabric"]["rdma"]["transfer_s"]["max"]) == (1.25, 2.0)
    assert (found["fabric"]["ub"]["bytes"], found["fabric"]["ub"]["utilization_peak"]) == (9, None)
    energy = found["energy"]
    assert {key: value for key, value in energy.items() if value} == {
        "scope": "npu",
        "joules": 1410.0,
        "joules_per_output_token": 282.0,
        "mean_watts": 141.0,
        "peak_watts": 310.0,  # from 3 s to 4 s: p0 10, p1 200, decode 100
    }
    assert (found["simulated_s"], found["wall_s"], found["seed"], found["config_digest"]) == (10.0, 1.25, 7, "abc")


def test_how_full_decode_is() -> None:
    run = run_of_four()
    plain = json_of(run)["decode_load"]
    assert plain == {
        "batch_per_npu": 1 / 160,  # one sequence in 3 s of steps
        **dict.fromkeys(("kv_used_mean", "kv_used_peak", "kv_free_least")),
    }
    info = RunInfo(1.25, 7, "abc", {}, has_prefix_cache=True, decode_kv_tokens={"decode-0": 204})
    found = summarize(run, info).to_json()["decode_load"]
    # From 101 tokens at 3 s to 103 at 6 s; steps of the time line are short.
    assert found["kv_used_mean"] == pytest.approx(0.3 * 102 / 204)
    assert found["kv_used_peak"] == pytest.approx(103 / 204, rel=0.01)
    assert found["kv_free_least"] == pytest.approx(1 - found["kv_used_peak"])


def test_without_a_cache_nothing_is_hit() -> None:
    found = json_of(run_of_four(), has_prefix_cache=False)
    assert (found["cache"]["hit_tokens"], found["cache"]["lookup_tokens"]) == (0, 0)
    assert found["cache"]["pool"]["num_servers"] == 0


def test_floats_have_nine_digits_and_counts_all() -> None:
    table = table_of(Request(prompt_tokens=10**9 + 1))
    third = json_of(end_run(collector_of(table, (PREFILL, DECODE), passed(0, started=[0])), 3 * SECOND))
    assert third["throughput"]["requests_per_s"] == 0.333333333
    assert third["throughput"]["input_tokens_per_s"] == 333333334.0
    assert third["cache"]["lookup_tokens"] == 10**9 + 1


def test_a_run_is_summed_up_the_same_way_twice() -> None:
    collector = run_of_four()
    assert json_of(collector) == json_of(collector)


def test_preemptions_are_counted() -> None:
    table = table_of(Request(preemptions=2), Request(), Request(preemptions=1))
    assert json_of(end_run(Collector(table, [PREFILL]), SECOND))["preemptions"] == 3


def test_a_role_without_instances_has_no_load() -> None:
    found = json_of(end_run(Collector(RequestTable(), [PREFILL]), SECOND))
    assert found["per_npu"]["decode"] == dict.fromkeys(ROLE)
    assert found["per_npu"]["prefill"] == dict.fromkeys(ROLE, 0.0)

"""Autoscalers that learn the pace of instances: right counts where the answer is known, and the ways in which others
have failed (docs/planning/scaling.md)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from scheduler.policies.registry import make_scaling_policy
from scheduler.policies.scaling.estimates import DecodePace, decode_pace, demand, prefill_pace, rise
from scheduler.policies.scaling_view import ScalingSample
from tests.unit.scheduler.policies.scaling.samples import INTERVAL_S, for_minutes, sample, view

LEARNED = ("sla", "energy", "queue")


def working(
    requests_per_s: float = 1.0,
    *,
    prefill: int = 2,
    decode: int = 2,
    queued_tokens: int = 0,
    late: int = 0,
    waits_s: float = 0.0,
    reported: bool = True,
) -> ScalingSample:
    """An interval under a steady load: prompts of 1,000 tokens, half of them cached, at 1,000 computed tokens a busy
    second in passes of 0.2 s; outputs of 100 tokens, at steps of 10 ms and 0.1 ms more for each sequence."""
    requests = round(requests_per_s * INTERVAL_S)
    busy = min(1.0, 0.5 * requests_per_s / prefill)
    made = 100 * requests_per_s / decode
    sequences = 0.01 * made / (1 - 0.0001 * made)
    return sample(
        {
            "serving": prefill,
            "busy_share": busy,
            "num_tokens": round(1_000 * busy * prefill * INTERVAL_S) if reported else 0,
            "step_s": 0.2,
            "outstanding_tokens": queued_tokens,
        },
        {
            "serving": decode,
            "num_tokens": round(100 * requests_per_s * INTERVAL_S) if reported else 0,
            "step_s": 0.01 + 0.0001 * sequences,
            "outstanding_requests": round(sequences * decode),
            "kv_capacity_tokens": 10**6 * decode,
        },
        arrived_requests=requests,
        arrived_tokens=1_000 * requests,
        first_tokens=requests,
        prompt_tokens=1_000 * requests,
        cached_tokens=500 * requests,
        ttft_s=0.2 + waits_s,
        late_requests=late,
        finished_requests=requests,
        output_tokens=100 * requests,
        length_s=INTERVAL_S,
    )


def varied(low: float, high: float, prefill: int = 2) -> list[ScalingSample]:
    """Ten minutes between two rates, so that the line of step times can be learned."""
    return [working(low + (high - low) * (i % 5) / 4, prefill=prefill) for i in range(20)]


def test_the_pace_of_instances_is_learned_from_reports() -> None:
    samples = varied(1.0, 3.0)
    pace, steps = prefill_pace(samples), decode_pace(samples)
    assert pace is not None
    assert steps is not None
    assert pace.tokens_per_s == pytest.approx(1_000, rel=0.01)
    assert pace.pass_s == pytest.approx(0.2)
    assert (steps.constant_s, steps.sequence_s) == pytest.approx((0.01, 0.0001), rel=0.05)


def test_a_decode_instance_makes_what_its_limit_and_its_room_allow() -> None:
    pace = DecodePace(0.01, 0.0001, 10**6)
    assert pace.tokens_per_s(0.05, 1_000) == pytest.approx(400 / 0.05)
    assert pace.tokens_per_s(0.05, 8_000) == pytest.approx(100 / 0.02)  # 0.8 of the room
    assert pace.tokens_per_s(0.009, 1_000) == 0.0


def test_demand_is_what_arrives_and_hits_are_counted_in_tokens() -> None:
    short = replace(working(), first_tokens=100, prompt_tokens=1_000, cached_tokens=0)
    long = replace(working(), first_tokens=1, prompt_tokens=99_000, cached_tokens=99_000)
    # Nothing is served, and the demand is there all the same.
    waiting = replace(working(), first_tokens=0, prompt_tokens=0, cached_tokens=0, finished_requests=0, output_tokens=0)
    found = demand([short, long, waiting], INTERVAL_S, 0.0)
    assert found is not None
    assert found.prefill_tokens_per_s == pytest.approx(0.01 * 1_000)


def test_only_a_sure_trend_is_one() -> None:
    assert rise([(float(t), 2.0 + 0.1 * t) for t in range(10)]) == pytest.approx(0.1)
    assert rise([(float(t), 2.0 + (-1) ** t) for t in range(10)]) == 0.0
    assert rise([(float(t), 2.0 - 0.1 * t) for t in range(10)]) == 0.0


@pytest.mark.parametrize("name", ["sla", "energy"])
def test_it_grows_with_the_load(name: str) -> None:
    counts = [make_scaling_policy(name).wanted(view(*varied(0.9 * rate, rate))).instances for rate in (4.0, 8.0, 16.0)]
    prefill = [one["prefill"] for one in counts]
    assert prefill == sorted(prefill)
    assert prefill[0] < prefill[-1]


@pytest.mark.parametrize("name", LEARNED)
def test_nothing_is_wanted_before_anything_is_known(name: str) -> None:
    policy = make_scaling_policy(name)
    assert policy.wanted(view(working())).instances == {}
    # An outage of reports is no lack of load.
    assert policy.wanted(view(*[working(reported=False)] * 20)).instances == {}


@pytest.mark.parametrize("name", ["sla", "energy"])
def test_nothing_goes_down_while_requests_wait_for_too_long(name: str) -> None:
    policy = make_scaling_policy(name)
    calm, late = view(*varied(0.2, 0.4, prefill=6)), view(*varied(0.2, 0.4, prefill=6), working(0.4, prefill=6, late=1))
    assert make_scaling_policy(name).wanted(calm).instances["prefill"] < 6
    assert policy.wanted(late).instances["prefill"] >= 6


def test_sla_counts_the_backlog_and_longer_waits() -> None:
    steady = varied(3.0, 4.0, prefill=4)

    def wanted(*samples: ScalingSample) -> int:
        return make_scaling_policy("sla").wanted(view(*samples)).instances["prefill"]

    assert wanted(*steady) == 4
    assert wanted(*steady[:-1], working(4.0, prefill=4, queued_tokens=200_000)) > 8
    assert wanted(*[replace(one, ttft_s=8.2) for one in steady]) > 4


def test_sla_goes_down_by_one_and_not_while_anything_is_under_way() -> None:
    calm = varied(0.5, 1.0, prefill=6)
    assert make_scaling_policy("sla").wanted(view(*calm)).instances["prefill"] == 5
    roles = dict(calm[-1].roles)
    roles["prefill"] = replace(roles["prefill"], draining=1)
    busy = [*calm[:-1], replace(calm[-1], roles=roles)]
    assert make_scaling_policy("sla").wanted(view(*busy)).instances["prefill"] == 6


def test_energy_leaves_less_to_spare_when_energy_is_dear() -> None:
    steady = varied(5.0, 6.0, prefill=6)

    def wanted(usd_per_kwh: float) -> int:
        samples = [replace(one, usd_per_kwh=usd_per_kwh) for one in steady]
        return make_scaling_policy("energy").wanted(view(*samples, usd_per_kwh=(0.05, 0.15))).instances["prefill"]

    assert wanted(0.15) < wanted(0.05)


def test_queue_panics_when_a_queue_lasts() -> None:
    steady = varied(2.0, 3.0)
    jam = [working(3.0, queued_tokens=40_000)] * 2
    once = make_scaling_policy("queue").wanted(view(*steady, *jam[:1]))
    lasting = make_scaling_policy("queue").wanted(view(*steady, *jam))
    assert "panic" not in once.reason
    assert "panic" in lasting.reason
    assert lasting.instances["prefill"] == 4  # twice as many at most


@pytest.mark.parametrize("name", ["threshold", *LEARNED])
def test_a_steady_load_settles(name: str) -> None:
    """Whatever it wants it gets; then it wants the same for an hour."""
    policy = make_scaling_policy(name)
    count, changes = 6, 0
    samples = varied(3.0, 4.0, prefill=count)
    for step in range(120):
        wanted = policy.wanted(view(*samples, at=step)).instances.get("prefill", count)
        changes += wanted != count and step > 20
        count = max(1, wanted)
        samples = [*samples[1:], working(3.0 + (step % 5) / 4, prefill=count)]
    assert changes <= 1


def test_steady_views_cover_ten_minutes() -> None:
    assert len(for_minutes(10, working())) == 20

"""Choices are counted by stage, policy and reason."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from scheduler.core.routing.decision import Decision
from scheduler.core.routing.router import FALLBACK_REASON
from scheduler.metrics.live.decisions import OWN, DecisionCounts, decision_series
from scheduler.policies import ROUTING, make_routing_policy
from scheduler.policies.view import PolicyContext, StageKind
from scheduler.protocol.finish import FinishReason
from scheduler.runtime.random_streams import stream_on_demand
from tests.naive.case import Case
from tests.naive.strategies import QUICK_PHASES, any_cases
from tests.sim.build import build_real


def test_every_policy_by_name_and_the_fallback_have_a_series_of_their_own() -> None:
    pairs = {(policy, why) for _, policy, why in decision_series()}
    context = PolicyContext(random=stream_on_demand(0, "policy"))
    reasons = [make_routing_policy(name, context).reason for name in ROUTING]
    assert {tuple(reason.split(": ", 1)) for reason in (*reasons, FALLBACK_REASON)} <= pairs
    assert len(set(decision_series())) == len(decision_series())


@settings(max_examples=40, phases=QUICK_PHASES)
@given(case=any_cases())
def test_whoever_is_computed_or_decoded_was_decided_on(case: Case) -> None:
    system = build_real(case)
    counts = DecisionCounts()
    system.scheduler.state.decision_logs.append(counts)
    system.run([])
    table = system.scheduler.table
    by_stage = {"prefill": 0, "decode": 0}
    for (stage, _, _), count in zip(decision_series(), counts.totals(), strict=True):
        by_stage[stage] += count
    rows = zip(table.preemptions, table.prefill_started_ns, table.reason, strict=True)
    # One that ends when it is preempted is not computed once more.
    began = [1 + times - (times > 0 and reason != FinishReason.STOP) for times, at, reason in rows if at >= 0]
    most = sum(1 + times for times, at in zip(table.preemptions, table.prefill_started_ns, strict=True) if at >= 0)
    assert sum(began) <= by_stage["prefill"] <= most
    assert by_stage["decode"] >= sum(at >= 0 for at in table.decode_started_ns)


@pytest.mark.parametrize("reason", ["mine: because", "because", "", "cloudmatrix: some other reason"])
def test_reasons_that_nobody_knows_count_as_one(reason: str) -> None:
    counts = DecisionCounts()
    for request_id in range(3):
        counts.chose(StageKind.DECODE, request_id, Decision(0, reason))
    by_series = dict(zip(decision_series(), counts.totals(), strict=True))
    assert by_series["decode", *OWN] == sum(counts.totals()) == 3

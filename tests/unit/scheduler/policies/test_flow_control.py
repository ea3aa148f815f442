"""Rules by name: strict options, near names, and what each needs to be shown."""

from __future__ import annotations

import pytest

from scheduler.policies.admission import ADMISSIONS, AdmissionView, SloEarlyReject
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, FlowControl, make_admission, make_order
from scheduler.policies.ordering import ORDERS
from scheduler.policies.view import Reads
from scheduler.policies.waiting import WaitingRequest
from scheduler.protocol.errors import ConfigError


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("slo_early_rejet", "unknown value 'slo_early_rejet'; did you mean slo_early_reject? known: always,"),
        ("slo_early_reject:slak=1", "slo_early_reject: unknown option 'slak'; did you mean slack?"),
        ("slo_early_reject:slack=0", "slo_early_reject: option slack=0 lets nobody in; give a number above 0"),
        ("always:slack=1", "always takes no options"),
        ("shedding:kv_threshold=0", "lets nobody in"),
    ],
)
def test_what_cannot_be_is_said(spec: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_admission(spec)
    assert fault in str(caught.value)


def test_all_rules_can_be_made_with_each_option_named() -> None:
    for rules, make in ((ADMISSIONS, make_admission), (ORDERS, make_order)):
        for name, known in rules.items():
            options = ",".join(f"{key}={value}" for key, value in known.options.items())
            assert type(make(name)) is type(make(f"{name}:{options}" if options else name)) is known.make


def test_options_arrive() -> None:
    request = WaitingRequest(0, 0, 1, ttft_limit_ns=100)
    view = AdmissionView(0, ttft_ns=150.0, num_samples=100)
    assert isinstance(make_admission("slo_early_reject"), SloEarlyReject)
    assert not make_admission("slo_early_reject").admits(request, view)
    assert make_admission("slo_early_reject:slack=1.5").admits(request, view)


def test_only_what_asks_for_something_is_guarded() -> None:
    assert PLAIN_FLOW_CONTROL.is_plain
    assert PLAIN_FLOW_CONTROL.reads == Reads.LOAD
    for rules in (
        FlowControl("token_bucket"),
        FlowControl(order="edf"),
        FlowControl(backlog_tokens=1),
        FlowControl(timeout_ns=1),
    ):
        assert not rules.is_plain
    assert Reads.PREDICTIONS in FlowControl("slo_early_reject:slack=2").reads

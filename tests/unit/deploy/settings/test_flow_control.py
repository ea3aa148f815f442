"""Flow control as settings say it."""

from __future__ import annotations

import pytest

from deploy.settings.flow_control import flow_control
from deploy.settings.load import load_settings
from deploy.settings.settings import Settings
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL, FlowControl
from scheduler.policies.waiting import NO_LIMIT_NS
from scheduler.protocol.errors import ConfigError


def rules_of(**told: object) -> FlowControl:
    """Of a run whose full passes have a thousand tokens."""
    settings = Settings.from_plain(told)
    return flow_control(settings.requests, settings.money.tariff, 1000)


def test_the_default_is_plain() -> None:
    assert rules_of() == PLAIN_FLOW_CONTROL


def test_limits_are_those_of_the_slo() -> None:
    rules = rules_of(slo="ttft=2s", admission="slo_early_reject", request_timeout_s=1.5)
    assert (rules.ttft_limit_ns, rules.tpot_limit_ns) == (2_000_000_000, NO_LIMIT_NS)
    assert rules.timeout_ns == 1_500_000_000
    assert not rules.backlog_tokens


def test_an_order_needs_a_place_to_wait() -> None:
    assert rules_of(order="edf").backlog_tokens == 2000
    assert rules_of(order="edf", waiting_backlog_tokens=7).backlog_tokens == 7


def test_a_wrong_name_is_one_line_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^--admission: unknown value 'alway'; did you mean always\?"):
        load_settings(None, {"admission": "alway"})
    with pytest.raises(ConfigError, match=r"^--order: unknown value 'edff'; did you mean edf\?"):
        load_settings(None, {"order": "edff"})

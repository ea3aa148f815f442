"""What a configuration says of how requests come in."""

from __future__ import annotations

import pytest

from deploy.settings.flow_control import flow_control
from deploy.settings.run_config import RunConfig, load_config
from scheduler.policies.flow_control import PLAIN_FLOW_CONTROL
from scheduler.policies.waiting import NO_LIMIT_NS
from scheduler.protocol.errors import ConfigError


def test_the_default_is_plain() -> None:
    assert flow_control(RunConfig(), 16) == PLAIN_FLOW_CONTROL


def test_limits_are_those_of_the_slo() -> None:
    rules = flow_control(RunConfig(slo="ttft=2s", admission="slo_early_reject", request_timeout_s=1.5), 16)
    assert (rules.ttft_limit_ns, rules.tpot_limit_ns) == (2_000_000_000, NO_LIMIT_NS)
    assert rules.timeout_ns == 1_500_000_000
    assert not rules.backlog_tokens


def test_an_order_needs_a_place_to_wait() -> None:
    config = RunConfig(order="edf")
    assert flow_control(config, 16).backlog_tokens == 2 * 16 * config.prefill_tokens_per_npu
    assert flow_control(RunConfig(order="edf", waiting_backlog_tokens=7), 16).backlog_tokens == 7


def test_a_wrong_name_is_one_line_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^--admission: unknown value 'alway'; did you mean always\?"):
        load_config(None, {"admission": "alway"})
    with pytest.raises(ConfigError, match=r"^--order: unknown value 'edff'; did you mean edf\?"):
        load_config(None, {"order": "edff"})

"""How requests come in, as a configuration says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from deploy.settings.request_classes import cheap_hours, class_rules
from deploy.settings.run_config import RunConfig
from scheduler.metrics.slo import Slo, parse_slo
from scheduler.policies.flow_control import FlowControl
from scheduler.policies.options import split_spec
from scheduler.policies.waiting import NO_LIMIT_NS

BACKLOG_PASSES: Final = 2
"""Full passes of the largest prefill instance that are its backlog by default: the one that runs and the next."""


def flow_control(config: RunConfig, largest_npus: int) -> FlowControl:
    """The rules of a run whose largest prefill instance has so many NPUs."""
    slo = parse_slo(config.slo) if config.slo else Slo()
    backlog_tokens = config.waiting_backlog_tokens
    if not backlog_tokens and split_spec(config.order)[0] != "fcfs":
        backlog_tokens = BACKLOG_PASSES * config.prefill_tokens_per_npu * max(1, largest_npus)
    rules = FlowControl(
        config.admission,
        config.order,
        backlog_tokens,
        _limit_ns(slo.ttft_s),
        _limit_ns(slo.tpot_s),
        round(config.request_timeout_s * 1e9),
    )
    if not config.classes:
        return rules
    return replace(rules, classes=class_rules(config, rules), cheap_hours=cheap_hours(config))


def _limit_ns(limit_s: float | None) -> int:
    return NO_LIMIT_NS if limit_s is None else round(limit_s * 1e9)

"""Flow control of a run (admission, order, classes), from its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from deploy.settings.models import Requests
from deploy.settings.request_classes import cheap_hours, class_rules
from scheduler.metrics.slo import Slo
from scheduler.policies.flow_control import FlowControl
from scheduler.policies.waiting import NO_LIMIT_NS
from sim_hw.cost.tariffs import Tariff

BACKLOG_PASSES: Final = 2
"""Full passes of the largest prefill instance that are its backlog by default: the one that runs and the next."""


def flow_control(requests: Requests, tariff: Tariff, pass_tokens: int) -> FlowControl:
    """The rules of a run of which a full pass of the largest prefill instance has so many tokens."""
    slo = requests.slo or Slo()
    backlog_tokens = requests.waiting_backlog_tokens
    if not backlog_tokens and requests.order.name != "fcfs":
        backlog_tokens = BACKLOG_PASSES * pass_tokens
    rules = FlowControl(
        requests.admission.spec,
        requests.order.spec,
        backlog_tokens,
        _limit_ns(slo.ttft_s),
        _limit_ns(slo.tpot_s),
        round(requests.request_timeout_s * 1e9),
        make_admission=requests.admission.make_admission,
        make_order=requests.order.make_order,
    )
    if not requests.classes:
        return rules
    classes = requests.classes
    return replace(rules, classes=class_rules(classes, rules), cheap_hours=cheap_hours(classes, tariff))


def _limit_ns(limit_s: float | None) -> int:
    return NO_LIMIT_NS if limit_s is None else round(limit_s * 1e9)

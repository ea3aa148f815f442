"""Aggregated instances: what they are made of."""

from __future__ import annotations

from msgspec.structs import replace

from deploy.settings.settings import Settings
from deploy.system.drafting import decode_config
from deploy.system.instance_physics import AggregatedPhysics
from scheduler.core.config import CacheMode
from scheduler.policies.disaggregation import ALWAYS
from scheduler.protocol.errors import ConfigError
from workers.aggregated.config import AggregatedConfig


def check_aggregated(settings: Settings) -> None:
    """A `ConfigError` for a rule that has nothing to decide."""
    plan, rule = settings.hardware.plan, settings.routing.disaggregation
    has_both = any(one.aggregated_npus for one in plan.supernodes) and any(one.prefill_npus for one in plan.supernodes)
    if rule.spec != ALWAYS and not has_both:
        raise ConfigError(
            f"disaggregation is {rule.name}, and plan {plan.text!r} has not both prefill (p) and aggregated (a) "
            "instances between which it could decide: add some, or leave it out"
        )


def aggregated_config(
    physics: AggregatedPhysics, settings: Settings, pass_tokens: int, report_interval_ns: int
) -> AggregatedConfig:
    """The sizes of one; `pass_tokens` is the token budget of its steps."""
    decode = replace(
        decode_config(physics, settings), report_interval_ns=report_interval_ns, budget_w=physics.least_budget_w
    )
    names_next = settings.cache.mode is CacheMode.POOL
    return AggregatedConfig(decode, pass_tokens, physics.rows_per_sequence, names_next=names_next)

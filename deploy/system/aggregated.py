"""Aggregated instances: what they are made of, and what they do not do yet."""

from __future__ import annotations

from deploy.settings.settings import Settings
from deploy.system.instance_physics import AggregatedPhysics
from scheduler.core.config import CacheMode
from scheduler.protocol.errors import ConfigError
from workers.aggregated.config import AggregatedConfig
from workers.decode.config import DecodeConfig


def check_aggregated(settings: Settings) -> None:
    """A `ConfigError` for what a plan with aggregated instances is asked for and does not do yet."""
    power, cache = settings.power, settings.cache
    asked = {
        "a power cap": power.cap_w is not None,
        "parking": power.parking is not None,
        "cache_answers with --cache local": cache.answers and cache.mode is CacheMode.LOCAL,
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise ConfigError(
                f"plan {settings.hardware.plan.text!r}: aggregated instances (a) do not work with {what} yet; "
                "leave that out, or use p and d terms"
            )


def aggregated_config(physics: AggregatedPhysics, *, settings: Settings, pass_tokens: int) -> AggregatedConfig:
    """The sizes of one; `pass_tokens` is the token budget of its steps."""
    numerator, denominator = physics.tokens_per_step
    decode = DecodeConfig(
        num_dies=physics.num_dies,
        blocks_per_die=physics.room.kv_blocks,
        slots_per_die=physics.room.sequences,
        extent_blocks=settings.instances.kv_extent_blocks,
        tokens_per_step_num=numerator,
        tokens_per_step_den=denominator,
    )
    names_next = settings.cache.mode is CacheMode.POOL
    return AggregatedConfig(decode, pass_tokens, physics.rows_per_sequence, names_next=names_next)

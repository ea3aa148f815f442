"""What else may be changed about a plan whose counts are found: how requests are routed, batched and kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from deploy.planning.shapes import Shape

Told = tuple[str, str | int]

_OF_ALL: Final[Sequence[Told]] = (("policy", "least_loaded"), ("policy", "conductor"), ("policy", "slo_aware"))
_OF_PREFILL: Final[Sequence[Told]] = (("prefill_tokens_per_npu", 2048), ("prefill_tokens_per_npu", 8192))
_OF_AGGREGATED: Final[Sequence[Told]] = (("aggregated_tokens_per_npu", 256), ("aggregated_tokens_per_npu", 2048))
_RULES: Final = ("queue:threshold=1", "prefix_threshold:tokens=2048")
"""By which decode instances compute some of the prompts themselves, as aggregated ones of the same size."""


def variations_of(shape: Shape) -> list[Shape]:
    """Shapes that differ from this one in one setting; what is not at its default was asked for, and stays."""
    return list(_variations(shape))


def _variations(shape: Shape) -> Iterator[Shape]:
    roles = {kind.role for kind in shape.kinds}
    told: list[Told] = [*_OF_ALL]
    told += _OF_PREFILL if "p" in roles else ()
    told += _OF_AGGREGATED if "a" in roles else ()
    for name, value in told:
        if shape.is_default(name):
            yield shape.with_settings({name: value})
    if roles == {"p", "d"} and shape.is_default("disaggregation"):
        prefill, decode = shape.kinds
        for rule in _RULES:
            kinds = prefill, replace(decode, role="a")
            changed: dict[str, str | int] = {"disaggregation": rule, "aggregated_tokens_per_npu": 2048}
            yield replace(shape.with_settings(changed), kinds=kinds)

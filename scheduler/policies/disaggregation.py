"""Conditional disaggregation: is a prompt computed at a prefill instance, or where it will decode?

A rule is asked for each request where a plan has both prefill and aggregated instances and both kinds have one that is
eligible. It says only on which side a prompt is computed; which instance of that side serves it is the routing policy's
choice.
"""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from scheduler.policies.registry import KnownPolicy, make_policy, register
from scheduler.protocol.catalog import Catalog
from scheduler.protocol.errors import ConfigError

DISAGGREGATIONS: Final = Catalog[KnownPolicy](besides="or FILE.py:Class")
SPLITS: Final = "where a prompt is computed"

ALWAYS: Final = "always"
"""The rule of a plan that names none."""


class DisaggregationView(Struct, frozen=True):
    """What a rule may know when it is asked about one request.

    `prompt_tokens` includes output tokens that are computed again after a preemption; of them `uncached_tokens` are not
    in the pool that prefill instances and aggregated ones read. `prefill_queues`: uncached prompt tokens outstanding at
    each eligible prefill instance, and `pass_tokens`, the budget of one full pass of each. `kv_usages`: of each
    eligible aggregated instance, the share of its KV that its requests take, as the core counts them.
    """

    now_ns: int
    prompt_tokens: int
    uncached_tokens: int
    prefill_queues: tuple[int, ...]
    pass_tokens: tuple[int, ...]
    kv_usages: tuple[float, ...]


class DisaggregationRule(Protocol):
    """Decides on which side a prompt is computed."""

    def stays(self, view: DisaggregationView) -> bool:
        """Whether it is computed at an aggregated instance, where it decodes, and not at a prefill instance."""
        ...


def make_rule(spec: str) -> DisaggregationRule:
    """A fresh one of `NAME` or `NAME:key=value,...`; a `ConfigError` for anything else."""
    return make_policy(DISAGGREGATIONS, spec)


def _share(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigError(f"option {name}={value:g} is no share; give 0 to 1")
    return value


@register(
    DISAGGREGATIONS, ALWAYS, formula="all prompts to prefill instances", source="what others are compared with",
    chooses=SPLITS,
)  # fmt: skip
class Always:
    """Every prompt is computed at a prefill instance."""

    def stays(self, view: DisaggregationView) -> bool:
        """No."""
        return False


@register(
    DISAGGREGATIONS, "never", formula="all prompts stay", source="what others are compared with", chooses=SPLITS,
)  # fmt: skip
class Never:
    """Every prompt is computed where it decodes; prefill instances have nothing to do."""

    def stays(self, view: DisaggregationView) -> bool:
        """Yes."""
        return True


@register(
    DISAGGREGATIONS,
    "prefix_threshold",
    formula="stays if prompt tokens < tokens or uncached tokens < tokens; tokens=0: all stay",
    source="llm-d, prefix_based_pd_decider.go, nonCachedTokens (16 in its sample)",
    chooses=SPLITS,
)
class PrefixThreshold:
    """Disaggregates a prompt that has at least `tokens` tokens which are not cached."""

    def __init__(self, tokens: int = 2048) -> None:
        self._tokens: Final = tokens

    def stays(self, view: DisaggregationView) -> bool:
        """If little of it is to be computed."""
        return not self._tokens or view.uncached_tokens < self._tokens


class _Bypass(Struct, frozen=True):
    """What Dynamo's rules share: they bypass prefill unless decode is busy."""

    busy_kv: float

    def is_vetoed(self, view: DisaggregationView) -> bool:
        """Whether even the emptiest decode side is busy: `active_decode_blocks > threshold * total_kv_blocks`."""
        return min(view.kv_usages) > self.busy_kv


@register(
    DISAGGREGATIONS,
    "isl_bounding",
    formula="stays if uncached tokens < tokens and uncached / prompt tokens < share, unless KV usage > busy_kv",
    source="Dynamo, conditional_disagg.rs; its defaults",
    chooses=SPLITS,
)
class IslBounding:
    """Short prompts stay of which enough is cached."""

    def __init__(self, tokens: int = 2048, share: float = 0.7, busy_kv: float = 1.0) -> None:
        self._tokens: Final = tokens
        self._share: Final = share
        self._bypass: Final = _Bypass(_share("busy_kv", busy_kv))

    def stays(self, view: DisaggregationView) -> bool:
        """Both strictly below, and no veto."""
        is_short = view.uncached_tokens < self._tokens
        is_known = view.uncached_tokens < self._share * max(view.prompt_tokens, 1)
        return is_short and is_known and not self._bypass.is_vetoed(view)


@register(
    DISAGGREGATIONS,
    "queue",
    formula="stays if at every prefill instance uncached tokens outstanding > threshold * tokens of a full pass, "
    "unless KV usage > busy_kv",
    source="Dynamo, conditional_disagg.rs, prefill_load",
    chooses=SPLITS,
)
class Queue:
    """Prompts stay while all of the prefill pool is congested."""

    def __init__(self, threshold: float = 2.0, busy_kv: float = 1.0) -> None:
        self._threshold: Final = threshold
        self._bypass: Final = _Bypass(_share("busy_kv", busy_kv))

    def stays(self, view: DisaggregationView) -> bool:
        """Even the least loaded has more than it should."""
        loads = zip(view.prefill_queues, view.pass_tokens, strict=True)
        return all(tokens > self._threshold * full for tokens, full in loads) and not self._bypass.is_vetoed(view)


@register(
    DISAGGREGATIONS,
    "isl_or_load",
    formula="stays if isl_bounding or queue says so",
    source="Dynamo, conditional_disagg.rs",
    chooses=SPLITS,
)
class IslOrLoad:
    """Either of the two."""

    def __init__(self, tokens: int = 2048, share: float = 0.7, threshold: float = 2.0, busy_kv: float = 1.0) -> None:
        self._rules: Final = (IslBounding(tokens, share, busy_kv), Queue(threshold, busy_kv))

    def stays(self, view: DisaggregationView) -> bool:
        """If one says so."""
        return any(rule.stays(view) for rule in self._rules)

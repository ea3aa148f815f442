"""How requests come in: who is admitted, who goes first, and the names by which one asks for that."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.policies.admission import Admission, Always, SaturationShedding, SloEarlyReject, TokenBucket
from scheduler.policies.options import parse_options, split_spec
from scheduler.policies.ordering import (
    EarliestDeadlineFirst,
    FairQueue,
    FirstComeFirstServed,
    Order,
    PriorityClasses,
    ShortestFirst,
)
from scheduler.policies.view import READS_ALL, Reads
from scheduler.policies.waiting import NO_LIMIT_NS
from scheduler.protocol.errors import ConfigError


@dataclass(frozen=True, slots=True)
class KnownRule:
    """A rule as it is listed. `options` have defaults; they are the arguments of `make`, in this order."""

    rule: str
    source: str
    options: Mapping[str, Any]
    make: Any
    reads: Reads = Reads.LOAD


ADMISSIONS: Final[Mapping[str, KnownRule]] = {
    "always": KnownRule("everybody", "what all others are compared with", {}, Always),
    "token_bucket": KnownRule(
        "uncached prompt tokens <= bucket, filled by tokens_per_s up to burst_tokens",
        "folklore of traffic shaping",
        {"tokens_per_s": 1e6, "burst_tokens": 1e6},
        TokenBucket,
    ),
    "slo_early_reject": KnownRule(
        "elapsed + predicted TTFT <= slack * limit, and predicted TPOT likewise",
        "Mooncake, FAST 2025, algorithm 1",
        {"slack": 1.0},
        SloEarlyReject,
        READS_ALL,
    ),
    "shedding": KnownRule(
        "mean over instances of max(queue / queue_threshold, KV / kv_threshold) < 1, or priority >= least_priority",
        "llm-d utilization-detector; its thresholds",
        {"least_priority": 1, "queue_threshold": 5.0, "kv_threshold": 0.8},
        SaturationShedding,
        Reads.REPORTS,
    ),
}

ORDERS: Final[Mapping[str, KnownRule]] = {
    "fcfs": KnownRule("min time of coming", "folklore", {}, FirstComeFirstServed),
    "edf": KnownRule("min arrival + TTFT limit", "Liu and Layland, 1973", {}, EarliestDeadlineFirst),
    "shortest": KnownRule(
        "min uncached tokens + ageing_tokens_per_s * arrival",
        "shortest job first, with ageing",
        {"ageing_tokens_per_s": 1e3},
        ShortestFirst,
    ),
    "priority": KnownRule("max priority of the class", "llm-d priority bands", {}, PriorityClasses),
    "fair": KnownRule(
        "the tenant with min input_weight * prompt tokens + output_weight * output tokens served",
        "virtual token counter, Sheng et al., OSDI 2024",
        {"input_weight": 1.0, "output_weight": 2.0},
        FairQueue,
    ),
}


_ABOVE_0: Final = frozenset({"tokens_per_s", "burst_tokens", "slack", "queue_threshold", "kv_threshold"})


def make_admission(spec: str) -> Admission:
    """A fresh one of `NAME` or `NAME:key=value,...`; a `ConfigError` for anything else."""
    return _make(spec, ADMISSIONS)


def make_order(spec: str) -> Order:
    """A fresh one of `NAME` or `NAME:key=value,...`; a `ConfigError` for anything else."""
    return _make(spec, ORDERS)


def _make(spec: str, rules: Mapping[str, KnownRule]) -> Any:
    name, text = split_spec(spec)
    if name not in rules:
        near = difflib.get_close_matches(name, rules, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown value {name!r}; {hint}known: {', '.join(rules)}")
    rule = rules[name]
    options = {**rule.options, **parse_options(name, text, rule.options)}
    for key in _ABOVE_0.intersection(options):
        if not options[key]:
            raise ConfigError(f"{name}: option {key}=0 lets nobody in; give a number above 0")
    return rule.make(*options.values())


@dataclass(frozen=True, slots=True)
class ClassRules:
    """What holds for requests of one class. Limits and `timeout_ns` (0 for none) are from arrival; a request may be
    held back for `hold_ns` after it."""

    ttft_limit_ns: int = NO_LIMIT_NS
    tpot_limit_ns: int = NO_LIMIT_NS
    timeout_ns: int = 0
    priority: int = 0
    hold_ns: int = 0


@dataclass(frozen=True, slots=True)
class FlowControl:
    """How requests come in.

    `backlog_tokens`: uncached prompt tokens that each prefill instance has before requests wait in front of
    all of them; 0 for no such wait. Limits and `timeout_ns` (0 for none) are from arrival, of every request that
    belongs to none of the `classes`. `cheap_hours` are those for which others may be held back: (from, until) in
    nanoseconds of the day.
    """

    admission: str = "always"
    order: str = "fcfs"
    backlog_tokens: int = 0
    ttft_limit_ns: int = NO_LIMIT_NS
    tpot_limit_ns: int = NO_LIMIT_NS
    timeout_ns: int = 0
    classes: tuple[ClassRules, ...] = ()
    cheap_hours: tuple[tuple[int, int], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether all come in as they come, and stay as long as it takes."""
        is_open = split_spec(self.admission)[0] == "always" and split_spec(self.order)[0] == "fcfs"
        return (
            is_open and not self.backlog_tokens and not any(one.timeout_ns for one in self.by_class) and not self.holds
        )

    @property
    def holds(self) -> bool:
        """Whether anybody may be held back for cheap hours."""
        return bool(self.cheap_hours) and any(one.hold_ns for one in self.classes)

    @property
    def by_class(self) -> tuple[ClassRules, ...]:
        """By the index of a request's class, 0 for those of none."""
        return (ClassRules(self.ttft_limit_ns, self.tpot_limit_ns, self.timeout_ns), *self.classes)

    @property
    def reads(self) -> Reads:
        """What must be kept of instances for the admission rule."""
        return ADMISSIONS[split_spec(self.admission)[0]].reads


PLAIN_FLOW_CONTROL: Final = FlowControl()
"""All come in as they come."""

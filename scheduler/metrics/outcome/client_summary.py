"""What a run came to in the eyes of its clients: the JSON of a summary, null where a client cannot know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct, field, to_builtins

from scheduler.metrics.columns import NS_PER_S
from scheduler.metrics.distribution import Distribution, distribution
from scheduler.metrics.outcome.client_sections import cache_section, footer, limit_sections, outcome_sections
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.ended_run import EndedRun, RunInfo
from scheduler.metrics.outcome.sections import page_text
from scheduler.metrics.outcome.summary import LEFT_OUT_IF_EMPTY, Summary, rounded
from scheduler.metrics.records import Records
from scheduler.metrics.slo import Slo
from scheduler.metrics.subject import SUBJECTS
from scheduler.metrics.subjects.clients import GroupUse
from scheduler.metrics.subjects.clock import WarmupUse
from scheduler.metrics.subjects.requests import RequestCounts
from scheduler.metrics.subjects.sessions import SessionUse
from scheduler.metrics.subjects.slo import ClassUse, SloResult
from scheduler.metrics.subjects.tokens import Throughput, TokenUse

KNOWN: Final = ("clients", "clock", "latencies", "requests", "sessions", "slo", "tokens")
"""Subjects that read nothing but what a client sees."""


class Lateness(Struct, frozen=True):
    """Seconds on the wall: how late requests left the client (`sent_s`), and tokens the service, as that tells."""

    sent_s: Distribution
    tokens_s: Distribution


class ClientSummary(Struct, frozen=True):
    """The fields of a `Summary` that a client knows. Times are those of its own clock, from when it sent a request.

    `cached_tokens` are those of all answers that told, of prompts of `asked_tokens`.
    """

    requests: RequestCounts
    finish_reasons: Mapping[str, int]
    ttft_s: Distribution
    tpot_s: Distribution
    itl_s: Distribution
    e2e_s: Distribution
    throughput: Throughput
    tokens: TokenUse
    slo: SloResult | None
    simulated_s: float
    wall_s: float
    seed: int
    config_digest: str
    cached_tokens: int
    asked_tokens: int
    lateness: Lateness
    queue_s: None = None
    preemptions: None = None
    classes: Mapping[str, ClassUse] = field(default_factory=dict[str, ClassUse])
    finish_limits: Mapping[str, str] = field(default_factory=dict[str, str])
    clients: GroupUse | None = None
    sessions: SessionUse | None = None
    warmup: WarmupUse | None = None

    def to_json(self) -> dict[str, Any]:
        """The keys of `Summary.to_json` in their order, then `lateness`."""
        known = to_builtins(self)
        values = {key: rounded(known.get(key)) for key in Summary.__struct_fields__ if key != "others"}
        values["tokens"]["computed"] = None
        values["cache"] = {"hit_tokens": self.cached_tokens, "lookup_tokens": self.asked_tokens, "pool": None}
        for key in LEFT_OUT_IF_EMPTY:
            if not values[key]:
                del values[key]
        return {**values, "lateness": rounded(known["lateness"])}

    def page(self, title: str) -> str:
        """For people, ending in a newline."""
        cache = cache_section(self.cached_tokens, self.asked_tokens)
        return page_text(title, [*outcome_sections(self), cache, *limit_sections(self)], footer(self))


class ClientLog(Struct, frozen=True):
    """What a client keeps beside its request table, pooled over all requests, in nanoseconds: gaps between tokens, or
    events of several, and how late requests left the client and tokens the service."""

    gaps_ns: Sequence[int]
    late_sent_ns: Sequence[int]
    late_tokens_ns: Sequence[int]


def summarize_client(
    collector: Collector, info: RunInfo, slo: Slo | None, records: Records, log: ClientLog
) -> ClientSummary:
    """Sum up a run that has ended. `collector` has the client's table, and has logged no report of any instance, only
    the end of a warm-up, of which the `log` has nothing; `records` are of all requests."""
    run = EndedRun.of(collector, info, slo, records)
    found = {key: value for name in KNOWN for key, value in SUBJECTS.find(name).summary(run).items()}
    del found["queue_s"], found["preemptions"]
    found["itl_s"] = _seconds(log.gaps_ns)
    counted = run.records
    answered = counted.is_finished
    return ClientSummary(
        **found,
        cached_tokens=int(counted.cached_tokens[answered].sum()),
        asked_tokens=int(counted.prompt_tokens[answered].sum()),
        lateness=Lateness(_seconds(log.late_sent_ns), _seconds(log.late_tokens_ns)),
    )


def _seconds(times_ns: Sequence[int]) -> Distribution:
    return distribution(np.array(times_ns, np.float64) / NS_PER_S)

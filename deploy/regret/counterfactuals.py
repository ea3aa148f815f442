"""The runs behind a regret: one as the policy has it, and one more for each other choice of the sampled decisions.

Each replays the whole trace on the virtual clock, follows the policy up to the decision, has another instance there,
and lets the policy choose again. The same seed makes all else the same, so that what differs is due to that choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from deploy.regret.overridden import Asked, AskedPolicies, Override, asking
from deploy.run.replay import ReplayJob, ReplayResult, replay_virtual
from deploy.settings.settings import Settings
from scheduler.metrics.columns import Floats, Ints
from scheduler.metrics.slo import meets
from scheduler.policies.view import StageKind
from scheduler.runtime.random_streams import stream
from scheduler.sources.traces.options import TraceOptions

MAX_OTHERS: Final = 7
"""Other instances that are tried at a decision; of more, so many are drawn."""

TTFT, E2E, ATTAINMENT = "ttft_s", "e2e_s", "slo.attainment"

Costs = Mapping[str, Floats]
"""By figure, of the requests of a horizon: seconds, NaN where one has none, and 1 for a missed SLO. Less is better."""


class Sampled(Struct, frozen=True):
    """A decision to judge. `others` are the places to try instead, `ids` the requests of its horizon."""

    stage: StageKind
    call: int
    request_id: int
    arrived_ns: int
    place: int
    instance: str
    reason: str
    others: Sequence[int]
    ids: Ints
    costs: Costs


class Followed(Struct, frozen=True):
    """A run as the policy has it, and what was sampled of its `num_decisions` between two instances or more."""

    num_decisions: int
    sampled: Sequence[Sampled]


class Sampling(Struct, frozen=True):
    """A run to sample `num` decisions of; the horizon of each are the requests that were open when the one that it is
    about came, and the `horizon` that came next, that one first."""

    trace: str
    options: TraceOptions
    settings: Settings
    num: int
    horizon: int


class Tried(Struct, frozen=True):
    """A run with another choice: the instance that it made of it, and what the horizon's requests cost then."""

    instance: str
    costs: Costs


class Trial(Struct, frozen=True):
    """Another choice to try."""

    sampling: Sampling
    sampled: Sampled
    place: int


def follow(sampling: Sampling) -> Followed:
    """Run once, and draw decisions of it by the seed of the run."""
    asked = AskedPolicies()
    result = run_asked(sampling, asked)
    known = [
        (stage, call)
        for stage, calls in asked.calls.items()
        for call, one in enumerate(calls)
        if one.num_places > 1 and one.decision is not None
    ]
    draws = stream(sampling.settings.run.seed, "regret")
    chosen = np.sort(draws.permutation(len(known))[: sampling.num])
    sampled: list[Sampled] = []
    for at in chosen:
        stage, call = known[int(at)]
        one = asked.calls[stage][call]
        others = [place for place in range(one.num_places) if place != one.place]
        if len(others) > MAX_OTHERS:
            others = sorted(draws.permutation(others)[:MAX_OTHERS].tolist())
        sampled.append(_sampled(result, sampling, stage, call, one, others))
    return Followed(len(known), sampled)


def try_other(trial: Trial) -> Tried:
    """Run with the other choice."""
    sampled = trial.sampled
    asked = AskedPolicies(Override(sampled.stage, sampled.call, trial.place))
    result = run_asked(trial.sampling, asked)
    return Tried(
        _instance(result, sampled.stage, asked.calls[sampled.stage][sampled.call]),
        costs_of(result, trial.sampling.settings, sampled.ids),
    )


def run_asked(sampling: Sampling, asked: AskedPolicies) -> ReplayResult:
    """The whole run; part of one is none, so Ctrl-C is raised."""
    settings = asking(sampling.settings, asked)
    result = replay_virtual(ReplayJob(sampling.trace, sampling.options, settings, decision_logs=(asked,)))
    if result.is_partial:
        raise KeyboardInterrupt
    return result


def costs_of(result: ReplayResult, settings: Settings, ids: Ints) -> Costs:
    """What these requests cost in a run."""
    records = result.records
    costs = {TTFT: records.ttft_s[ids], E2E: records.e2e_s[ids]}
    slo = settings.requests.judged_slo
    return costs if slo is None else {**costs, ATTAINMENT: np.where(meets(slo, records)[ids], 0.0, 1.0)}


def _sampled(
    result: ReplayResult, sampling: Sampling, stage: StageKind, call: int, one: Asked, others: Sequence[int]
) -> Sampled:
    assert one.decision is not None
    records = result.records
    arrived_ns = int(records.arrived_ns[one.request_id])
    is_after = records.ended_ns[: one.request_id + sampling.horizon] > arrived_ns
    ids = np.flatnonzero(is_after)
    costs = costs_of(result, sampling.settings, ids)
    name, reason = _instance(result, stage, one), one.decision.reason
    return Sampled(stage, call, one.request_id, arrived_ns, one.place, name, reason, others, ids, costs)


def _instance(result: ReplayResult, stage: StageKind, one: Asked) -> str:
    assert one.decision is not None  # the run is the same up to here, so this decision is made
    addresses = result.prefill_addresses if stage is StageKind.PREFILL else result.decode_addresses
    return addresses[one.decision.instance]

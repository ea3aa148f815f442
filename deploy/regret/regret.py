"""How much better the best other choice would have been, decision by decision, and on the mean of those sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import Struct

from deploy.compare.measure import in_processes
from deploy.regret.counterfactuals import E2E, Costs, Sampled, Sampling, Trial, Tried, follow, try_other
from deploy.statistics.intervals import Interval, series_interval
from scheduler.protocol.errors import ConfigError

MIN_DECISIONS: Final = 2
MAX_DECISIONS: Final = 30
"""Of a sample; so far Student's t is tabled."""

DEFAULT_HORIZON: Final = 100
NUM_WORST: Final = 5


class Judged(Struct, frozen=True):
    """One decision. By figure: `regret`, by how much the best of the tried others is better on the mean over the
    horizon (0 where none is), `spread`, by how much an even choice among them is worse; `best` has the least E2E."""

    sampled: Sampled
    best: str
    regret: dict[str, float]
    spread: dict[str, float]


class Regret(Struct, frozen=True):
    """Of one set-up. `was_best`: share of decisions at which no tried other is better, by figure. The means are over
    decisions, `worst` those of the greatest regret in E2E, where there is any."""

    num_decisions: int
    num_sampled: int
    num_trials: int
    horizon: int
    regret: dict[str, Interval]
    spread: dict[str, Interval]
    was_best: dict[str, float]
    worst: Sequence[Judged]

    def to_json(self) -> dict[str, Any]:
        """Plain values; times in seconds, SLO attainment as a share."""
        return {
            "decisions": self.num_decisions,
            "sampled": self.num_sampled,
            "trials": self.num_trials,
            "horizon_requests": self.horizon,
            "figures": {
                path: {
                    "regret": _rounded(self.regret[path]),
                    "even_choice_costs": _rounded(self.spread[path]),
                    "was_best": self.was_best[path],
                }
                for path in self.regret
            },
            "worst": [_decision(one) for one in self.worst],
        }


def check_regret(num: int | None, horizon: int | None, *, waits: bool) -> None:
    """`ConfigError` for what cannot be sampled. `waits`: requests come when others end, so that a choice changes which
    requests come, and no two runs have the same to compare."""
    if num is None:
        if horizon is not None:
            raise ConfigError("--horizon is of --regret N; give that too, or leave it out")
        return
    if not MIN_DECISIONS <= num <= MAX_DECISIONS:
        raise ConfigError(f"--regret is {num}; give a number of decisions from {MIN_DECISIONS} to {MAX_DECISIONS}")
    if horizon is not None and horizon < 1:
        raise ConfigError(f"--horizon is {horizon}; give a number of requests, at least 1")
    if waits:
        raise ConfigError("--regret compares requests one by one, and clients that wait send others: leave one out")


def regrets_of(samplings: Sequence[Sampling], jobs: int | None) -> list[Regret]:
    """Of each set-up, in their order: as many runs as there are set-ups, and one for each other choice."""
    followed = in_processes(follow, samplings, "following", jobs)
    trials = [
        Trial(sampling, sampled, place)
        for sampling, one in zip(samplings, followed, strict=True)
        for sampled in one.sampled
        for place in sampled.others
    ]
    found = iter(in_processes(try_other, trials, "trying other choices", jobs))
    regrets: list[Regret] = []
    for sampling, one in zip(samplings, followed, strict=True):
        judged = [judge(sampled, [next(found) for _ in sampled.others]) for sampled in one.sampled]
        num_trials = sum(len(sampled.others) for sampled in one.sampled)
        regrets.append(_regret(judged, one.num_decisions, num_trials, sampling.horizon))
    return regrets


def judge(sampled: Sampled, tried: Sequence[Tried]) -> Judged:
    """A decision against the others that were tried at it, at least one."""
    regret, spread = dict[str, float](), dict[str, float]()
    for path in sampled.costs:
        gains = [_gain(path, sampled.costs, other.costs) for other in tried]
        regret[path] = max(0.0, *gains)
        spread[path] = -sum(gains) / len(gains)
    best = max(tried, key=lambda other: _gain(E2E, sampled.costs, other.costs))
    return Judged(sampled, best.instance, regret, spread)


def _gain(path: str, costs: Costs, others: Costs) -> float:
    """By how much another choice is better: the mean over the requests that have the figure in both runs."""
    gains = costs[path] - others[path]
    known = gains[~np.isnan(gains)]
    return float(known.mean()) if len(known) else 0.0


def _regret(judged: Sequence[Judged], num_decisions: int, num_trials: int, horizon: int) -> Regret:
    # Decisions that are near each other in time share what the run did there.
    judged = sorted(judged, key=lambda one: one.sampled.arrived_ns)
    paths = list(judged[0].regret) if len(judged) >= MIN_DECISIONS else []
    worst = sorted((one for one in judged if one.regret[E2E] > 0), key=lambda one: -one.regret[E2E])
    return Regret(
        num_decisions,
        len(judged),
        num_trials,
        horizon,
        {path: series_interval([one.regret[path] for one in judged]) for path in paths},
        {path: series_interval([one.spread[path] for one in judged]) for path in paths},
        {path: sum(not one.regret[path] for one in judged) / len(judged) for path in paths},
        worst[:NUM_WORST],
    )


def _rounded(one: Interval) -> dict[str, float]:
    return {name: float(f"{getattr(one, name):.6g}") for name in ("mean", "low", "high")}


def _decision(one: Judged) -> dict[str, Any]:
    sampled = one.sampled
    return {
        "stage": sampled.stage.name.lower(),
        "request_id": sampled.request_id,
        "arrived_s": sampled.arrived_ns / 1e9,
        "instance": sampled.instance,
        "reason": sampled.reason,
        "better": one.best,
        "regret": {path: float(f"{value:.6g}") for path, value in one.regret.items()},
    }

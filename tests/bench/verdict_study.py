"""How often verdicts are right: pairs of set-ups whose truth is known from many other seeds.

    python -m tests.bench.verdict_study [PAIRS]

Set-ups differ in routing policy and in the number of prefill instances; each is run on a generated workload with 60
seeds, and a figure of two of them differs in truth if that is shown at 99.9 %. Verdicts on such pairs are then taken
from five other seeds, and from the batches of one longer run, and are right if they have the sign of the truth.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np

from deploy.compare.measure import Measured, in_processes, measure
from deploy.run.replay import ReplayJob
from deploy.settings.load import load_settings
from deploy.statistics.seeds import figures_of
from deploy.statistics.verdicts import MORE_IS_BETTER, verdicts_of_batches, verdicts_of_seeds
from scheduler.sources.traces.options import TraceOptions

WORKLOAD: Final = str(Path(__file__).parents[2] / "examples" / "demo.yaml")
POLICIES: Final = ("cloudmatrix", "round_robin", "random", "power_of_two", "prefix_affinity")
PLANS: Final = ("2x16p+1x32d+3c", "3x16p+1x32d+3c")
SLO: Final = "ttft=300ms,tpot=25ms"
RATE_SCALE: Final = 2.0

NUM_TRUTH: Final = 60
NUM_SEEDS: Final = 5
REQUESTS: Final = 300
LONG_REQUESTS: Final = 1500
SURE: Final = 3.29
"""Standard errors of a difference that is true at 99.9 %."""


def job(policy: str, plan: str, seed: int, num_requests: int) -> ReplayJob:
    """One run."""
    settings = load_settings(None, {"policy": policy, "plan": plan, "seed": seed, "slo": SLO})
    return ReplayJob(WORKLOAD, TraceOptions(limit=num_requests, rate_scale=RATE_SCALE, seed=seed), settings)


def true_signs(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> dict[str, int]:
    """By path: +1 or -1 where a figure differs in truth."""
    signs: dict[str, int] = {}
    others = figures_of(before)
    for path, values in figures_of(after).items():
        difference = np.array(values) - np.array(others[path])
        error = float(difference.std(ddof=1)) / sqrt(len(difference))
        if error and abs(difference.mean()) > SURE * error:
            signs[path] = int(np.sign(difference.mean()))
    return signs


def sign_of(path: str, verdict: str) -> int:
    """Of the difference that a verdict claims; 0 if it claims none."""
    is_more = (verdict == "better") is path.startswith(MORE_IS_BETTER)
    return 0 if verdict == "no difference shown" else 1 if is_more else -1


def main(num_pairs: int) -> None:
    """Print what came of it."""
    set_ups = [(policy, plan) for plan in PLANS for policy in POLICIES]
    pairs = list(combinations(range(len(set_ups)), 2))
    groups = -(-num_pairs // len(pairs))
    seeds = range(1, 1 + NUM_TRUTH + groups * NUM_SEEDS)
    short = run_all([job(*one, seed, REQUESTS) for one in set_ups for seed in seeds])
    long = run_all([job(*one, seed, LONG_REQUESTS) for one in set_ups for seed in range(1001, 1001 + groups)])
    runs = [short[at * len(seeds) : (at + 1) * len(seeds)] for at in range(len(set_ups))]
    documents = [[one.document for one in group] for group in runs]
    tally: Counter[tuple[str, str]] = Counter()
    for group in range(groups):
        first = NUM_TRUTH + group * NUM_SEEDS
        for a, b in pairs:
            truth = true_signs(documents[a][:NUM_TRUTH], documents[b][:NUM_TRUTH])
            mean_truth = {path.replace("p50", "mean"): sign for path, sign in truth.items()}
            part = slice(first, first + NUM_SEEDS)
            by_seeds = verdicts_of_seeds("a", documents[a][part], documents[b][part])
            by_batches = verdicts_of_batches("a", long[a * groups + group].batches, long[b * groups + group].batches)
            for verdicts, known in ((by_seeds, truth), (by_batches, mean_truth)):
                for path, one in verdicts.figures.items():
                    said = sign_of(path, one.verdict)
                    if path in known:
                        outcome = "none given" if not said else "right" if said == known[path] else "wrong"
                    else:
                        outcome = "of unknown truth" if said else "left open"
                    tally[verdicts.basis, outcome] += 1
    print(f"{groups * len(pairs)} pairs of {len(set_ups)} set-ups")
    for basis in ("seeds", "batches"):
        right, wrong, none = (tally[basis, outcome] for outcome in ("right", "wrong", "none given"))
        guessed, left_open = tally[basis, "of unknown truth"], tally[basis, "left open"]
        share = right / max(1, right + wrong)
        print(f"{basis:8} truth known: right {right:,}, wrong {wrong:,} ({share:.1%} right), none given {none:,};")
        print(f"{'':8} not known: given {guessed:,} of {guessed + left_open:,}")


def run_all(jobs: Sequence[ReplayJob]) -> list[Measured]:
    """In all processes there are."""
    return in_processes(measure, jobs, "study")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)

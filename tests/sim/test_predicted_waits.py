"""Predicted waits against waits that came and against queueing theory, on the virtual runtime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.runtime.random_streams import stream
from tests.naive.case import Case, Row
from tests.sim.build import build_real

TOKENS = 128
SERVICE_NS = 3_000 + 11 * TOKENS + TOKENS * (TOKENS + 1) // 2 // 64
"""A pass that one prompt fills alone: its length in the case below."""

NUM_REQUESTS = 8_000
WARM = 300
"""Requests left out of the comparison: the queue and the fit begin empty."""


def poisson_rows(load: float, num_servers: int = 1) -> tuple[Row, ...]:
    random = stream(1, f"arrivals at {load}")
    arrived_ns = np.cumsum(random.exponential(SERVICE_NS / load / num_servers, NUM_REQUESTS)).astype(int)
    return tuple(Row(at, TOKENS, 1) for at in arrived_ns.tolist())


def waits_ns(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and actual time from arrival to first token, less the pass itself."""
    system = build_real(case)
    predicted: list[float] = []
    router = system.scheduler.routing.prefill
    worker_state = router.worker_state
    assert worker_state is not None
    times = worker_state._prefill_times
    assert times is not None
    sent = times.sent

    def note(now_ns: int, instance: int, request_id: int, work: tuple[int, int, float]) -> None:
        predicted.append(work[2])
        sent(now_ns, instance, request_id, work)

    times.sent = note
    outcomes = system.run().outcomes
    actual = np.array([outcome.first_token_ns - outcome.arrived_ns for outcome in outcomes])
    return np.array(predicted)[WARM:] - SERVICE_NS, actual[WARM:] - SERVICE_NS


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_waits_of_one_server_with_equal_prompts(load: float) -> None:
    # M/D/1: mean wait = load / (2 (1 - load)) services (Pollaczek and Khinchine).
    case = Case(poisson_rows(load), token_budget=TOKENS, prefill_blocks=10_000, prefill_policy="mooncake")
    predicted, actual = waits_ns(case)
    assert predicted.mean() == pytest.approx(actual.mean(), rel=0.01)
    assert np.abs(predicted - actual).max() < 0.05 * SERVICE_NS
    theory_ns = SERVICE_NS * load / (2 * (1 - load))
    # What came is a sample of so many requests, whose queues are long for long near saturation.
    assert predicted.mean() == pytest.approx(theory_ns, rel=0.05 if load < 0.7 else 0.2)


def test_waits_of_prompts_of_many_lengths() -> None:
    # M/G/1 with passes of one prompt each: what is ahead is known, so the error stays that of the fit.
    random = stream(2, "lengths")
    lengths = np.minimum(128 + random.exponential(400, NUM_REQUESTS).astype(int), 4_000).tolist()
    mean_ns = 3_000 + 11 * np.mean(lengths) + np.mean(np.square(lengths)) / 128
    arrived_ns = np.cumsum(random.exponential(mean_ns / 0.8, NUM_REQUESTS)).astype(int).tolist()
    rows = tuple(Row(at, tokens, 1) for at, tokens in zip(arrived_ns, lengths, strict=True))
    case = Case(rows, token_budget=4_096, prefill_blocks=100_000, blocks_per_die=64, prefill_policy="mooncake")
    system = build_real(case)
    system.run()
    error = system.scheduler.routing.prefill.prediction_error
    assert error is not None
    assert error.num_predictions > 3_000
    # Later arrivals join the same pass and lengthen it: predictions are optimistic, and by how much is told.
    assert -0.25 < error.relative_bias < 0.0
    assert error.relative_error < 0.25


def test_the_least_predicted_wait_balances_like_the_least_work() -> None:
    rows = poisson_rows(0.8, num_servers=3)[:3_000]
    mean_ns: dict[str, float] = {}
    for policy in ("mooncake", "cloudmatrix", "random"):
        case = Case(rows, num_prefill=3, token_budget=TOKENS, prefill_blocks=10_000, prefill_policy=policy)
        outcomes = build_real(replace(case)).run().outcomes
        mean_ns[policy] = float(np.mean([outcome.first_token_ns - outcome.arrived_ns for outcome in outcomes]))
    assert mean_ns["mooncake"] <= 1.02 * mean_ns["cloudmatrix"] < mean_ns["random"]


def test_predicted_steps_are_those_that_came() -> None:
    rows = tuple(Row(2_000 * index, 40 + index % 90, 5 + index % 60) for index in range(800))
    case = Case(rows, num_decode=2, prefill_policy="cloudmatrix", decode_policy="slo_aware")
    system = build_real(case)
    system.run()
    error = system.scheduler.routing.decode.prediction_error
    assert error is not None
    assert error.num_predictions > 100
    assert error.relative_error < 0.02

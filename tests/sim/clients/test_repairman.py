"""Clients that wait for one server, against queueing theory: the machine-repairman model, M/M/1//N."""

from __future__ import annotations

from math import factorial

import numpy as np
import pytest

from scheduler.runtime.random_streams import stream
from tests.naive.case import Case, Clients, Row
from tests.sim.build import build_real

NUM_CLIENTS = 10
NUM_REQUESTS = 6_000
STEP_NS = 1_000
MEAN_TOKENS = 100
SERVICE_NS = STEP_NS * MEAN_TOKENS


def exponential(mean: float, name: str, *, is_mirrored: bool) -> np.ndarray:
    """As many draws of an exponential distribution, one from each of so many parts of equal weight, in random order.

    What is long becomes short where it is mirrored.
    """
    random = stream(5, name)
    levels = (random.permutation(NUM_REQUESTS) + random.random(NUM_REQUESTS)) / NUM_REQUESTS
    return -mean * np.log(levels if is_mirrored else 1 - levels)


def one_server(think_over_service: float, *, is_mirrored: bool) -> Case:
    """A decode instance with room for one sequence at a time, a microsecond a token, before which nothing takes any
    time: answers of so many tokens are services."""
    services = exponential(MEAN_TOKENS, "services", is_mirrored=is_mirrored)
    thinking = exponential(think_over_service * SERVICE_NS, "thinking", is_mirrored=is_mirrored)
    tokens = 1 + np.maximum(1, np.rint(services)).astype(int)
    think_ns = np.rint(thinking).astype(int)
    return Case(
        tuple(Row(0, 1, num_tokens) for num_tokens in tokens.tolist()),
        pass_ns=1,
        token_ns=0,
        blocks_per_die=1_000,
        slots_per_die=1,
        fixed_ps=1_000 * STEP_NS,
        sequence_ps=0,
        kv_ps=0,
        latency_ns=0,
        bytes_per_token=0,
        clients=(Clients(NUM_CLIENTS, tuple(think_ns.tolist())),),
    )


def closed_formula(think_over_service: float) -> tuple[float, float]:
    """Services a service time, and mean time from asking to the end in service times.

    Source: Kleinrock, Queueing Systems I (1975), 3.8: with N clients the server is idle with the probability
    1 / sum over k of N! / (N - k)! (service / think)^k; the rest is Little's law.
    """
    terms = [
        factorial(NUM_CLIENTS) / factorial(NUM_CLIENTS - k) / think_over_service**k for k in range(NUM_CLIENTS + 1)
    ]
    rate = 1 - 1 / sum(terms)
    return rate, NUM_CLIENTS / rate - think_over_service


def measure(case: Case) -> tuple[float, float]:
    """The same of a run."""
    outcomes = build_real(case).run().outcomes
    ended_ns = np.array([outcome.ended_ns for outcome in outcomes])
    e2e_ns = ended_ns - np.array([outcome.arrived_ns for outcome in outcomes])
    return NUM_REQUESTS * SERVICE_NS / float(ended_ns.max()), float(e2e_ns.mean()) / SERVICE_NS


@pytest.mark.parametrize("think_over_service", [40, 20, 10, 5, 2])
def test_a_closed_loop_is_the_machine_repairman(think_over_service: float) -> None:
    # A run and its mirror image: where the one happens to be crowded, the other is not.
    runs = [measure(one_server(think_over_service, is_mirrored=mirrored)) for mirrored in (False, True)]
    measured = np.mean(runs, axis=0)
    theory = closed_formula(think_over_service)
    assert tuple(measured) == pytest.approx(theory, rel=0.01)

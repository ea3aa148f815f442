"""Microseconds per routing decision: from an arrival in the core to the command that answers it."""

from __future__ import annotations

import time
from statistics import median
from typing import Final

from deploy.blueprint import Blueprint
from deploy.config import RunConfig
from scheduler.protocol.messages import RequestsArrived
from scheduler.protocol.oracle_payload import seal_output_tokens

_DECISIONS: Final = 20_000


def decision_us(policy: str) -> float:
    """Median of one arrival's handling with 14 prefill instances, in microseconds."""
    core = Blueprint(RunConfig(policy=policy, cache="none"), 512).make_core()
    payloads = seal_output_tokens([200])
    taken_ns: list[int] = []
    for number in range(_DECISIONS):
        arrival = RequestsArrived([1000 + number % 977], payloads, [[]], [0], 512)
        started_ns = time.perf_counter_ns()
        core.handle(number, arrival)
        taken_ns.append(time.perf_counter_ns() - started_ns)
    return median(taken_ns) / 1000

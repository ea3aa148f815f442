"""Upper bounds of the buckets of every histogram: names of our own have fine ones, names of others keep theirs.

A percentile that Prometheus reads out of buckets lies anywhere in the bucket that it falls into. Those of vLLM were
made for slower machines: the first bucket of queue times ends at 0.3 s, where requests on a whole supernode wait some
microseconds. So families named `supernode_*` have bounds that are less than 10 % apart, and an account counts on a
*grid*: the bounds of all schemes together, out of which each takes its own.

Sets of vLLM: `vllm/v1/metrics/loggers.py` of vllm-project/vllm, so that dashboards made for vLLM read alike.
"""

from __future__ import annotations

from typing import Final

BOUNDS_PER_DECADE: Final = 27
"""The fewest with which bounds of three digits are less than 10 % apart."""

_MANTISSAS: Final = tuple(f"{10 ** (step / BOUNDS_PER_DECADE):.2f}" for step in range(BOUNDS_PER_DECADE))


def fine_bounds(first: int, last: int) -> tuple[float, ...]:
    """Powers of ten from 10**first to 10**last and what is between them, ascending, each less than 10 % above the one
    before it."""
    decades = (float(f"{mantissa}e{exponent}") for exponent in range(first, last) for mantissa in _MANTISSAS)
    return (*decades, float(f"1e{last}"))


def grid(*sets: tuple[float, ...]) -> tuple[float, ...]:
    """All bounds of several sets, ascending."""
    return tuple(sorted(set[float]().union(*sets)))


QUEUE_BOUNDS_S: Final = fine_bounds(-5, 4)
"""Waits in queues: 10 us to 10,000 s."""

REQUEST_BOUNDS_S: Final = fine_bounds(-3, 4)
"""TTFT and E2E: 1 ms to 10,000 s."""

TOKEN_BOUNDS_S: Final = fine_bounds(-3, 2)
"""TPOT and ITL: 1 ms to 100 s."""

TRANSFER_BOUNDS_S: Final = fine_bounds(-5, 2)
"""Transfers over the fabric, from one that is little more than latency to one on links that are mostly broken: 10 us to
100 s."""

HOP_BOUNDS_S: Final = fine_bounds(-4, 1)
"""Lateness of messages on the wall: 0.1 ms to 10 s."""

VLLM_TTFT_BOUNDS_S: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
"""Set A: TTFT."""

VLLM_TOKEN_BOUNDS_S: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
"""Set B: TPOT and ITL."""

VLLM_REQUEST_BOUNDS_S: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
"""Set C: E2E, queue, prefill, decode and inference."""

VLLM_TOKEN_COUNT_BOUNDS: Final = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000,
)  # fmt: skip
"""Tokens of one request: the 1-2-5 series of a vLLM server whose model takes 100,000 to 199,999 tokens."""

VLLM_STEP_TOKEN_BOUNDS: Final = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
"""Tokens of one engine step."""

GENAI_DURATION_BOUNDS_S: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""E2E as OpenTelemetry's conventions for generative AI advise it."""

GENAI_TTFT_BOUNDS_S: Final = tuple(bound for bound in VLLM_TTFT_BOUNDS_S if bound <= 10.0)
GENAI_TPOT_BOUNDS_S: Final = tuple(bound for bound in VLLM_TOKEN_BOUNDS_S if bound <= 2.5)
"""The same conventions advise the bounds of vLLM up to some seconds."""

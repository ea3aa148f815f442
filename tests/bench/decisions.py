"""Microseconds per routing decision: from an arrival in the core to the command that answers it."""

from __future__ import annotations

import time
from statistics import median, quantiles
from typing import Final

from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.policies.view import PolicyContext, StageKind
from scheduler.protocol.messages import RequestsArrived
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.runtime.random_streams import stream, stream_on_demand

AIMS_US: Final = {
    **dict.fromkeys(("random", "round_robin", "least_loaded", "power_of_two", "cloudmatrix"), 10),
    **dict.fromkeys(
        (
            "prefix_affinity",
            "cache_aware",
            "lmetric",
            "dynamo_kv",
            "llmd_weighted",
            "aibrix_pd",
            "conductor",
            "xllm_car",
            "mooncake",
            "slo_aware",
        ),
        50,
    ),
}
"""Microseconds that a decision should take at the median with 15 instances: those by load, and those that read more."""

NUM_BLOCKS: Final = 1_000_000
"""Cached blocks of all instances together."""

NUM_DECISIONS: Final = 3_000
PROMPT_BLOCKS: Final = 24
"""Blocks of 512 tokens of a prompt of mean length of the conversation trace, half of them shared by a family."""

NUM_FAMILIES: Final = 20_000


def decision_us(policy: str, num_instances: int, num_blocks: int) -> tuple[float, float]:
    """Median and 99th percentile of the handling of an arrival, with so many blocks in own caches if they are read."""
    sizes = [InstanceInfo(f"p{index}", 16, 10**6, 0, 10**7, num_blocks) for index in range(num_instances)]
    core = Scheduler(
        SchedulerConfig(sizes, [InstanceInfo("d0", 160, 10**6)], CacheMode.LOCAL),
        make_routing_policy(policy, PolicyContext(StageKind.PREFILL, stream_on_demand(0, "prefill"))),
        make_routing_policy("cloudmatrix"),
    )
    worker_state = core.routing.prefill.worker_state
    index = None if worker_state is None else worker_state._index
    payloads, random = seal_output_tokens([200]), stream(0, "prompts")
    families = random.integers(NUM_FAMILIES, size=2 * num_blocks // PROMPT_BLOCKS + NUM_DECISIONS).tolist()
    prompts = [_prompt(number, family) for number, family in enumerate(families)]
    while index is not None and index.num_blocks < num_blocks:
        index.add(len(prompts) % num_instances, 0, prompts.pop())
    taken_us: list[float] = []
    for number in range(NUM_DECISIONS):
        arrival = RequestsArrived([512 * PROMPT_BLOCKS], payloads, [prompts[number]], [0], 512)
        started_ns = time.perf_counter_ns()
        core.handle(number, arrival)
        taken_us.append((time.perf_counter_ns() - started_ns) / 1000)
    return median(taken_us), quantiles(taken_us, n=100)[98]


def _prompt(number: int, family: int) -> list[int]:
    shared = PROMPT_BLOCKS // 2
    own = 10**9 + number * PROMPT_BLOCKS
    return [*range(family * shared, (family + 1) * shared), *range(own, own + PROMPT_BLOCKS - shared)]

"""A small system of all kinds of components, made from plain data in any process: for runtimes and journals."""

from __future__ import annotations

from typing import Any

import numpy as np

from deploy.live.session import ControlParts
from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.guest import Guest
from scheduler.core.guests.weight_loads import ModelSource, ModelWeights
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Component, Outputs, Priority, TimingFlags
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import ArrivalsEnded, Message, RequestsArrived
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import ArrivalBlock, Trace
from scheduler.sources.clients.client_source import ClientSource
from scheduler.sources.clients.groups import ClientGroup, ThinkTime
from scheduler.sources.clients.play import client_source
from sim_hw.instance.compiled_decode import StepForm, StreamCost
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import MadeUpLines
from workers.cache.pool import CachePool
from workers.cache.sizes import StoreSizes
from workers.decode.config import DecodeConfig, Sampling
from workers.decode.instance import DecodeInstance
from workers.fabric.fabric import Fabric
from workers.fabric.routes import FabricConfig, KvTransferRoutes, LinkGroup, PathProfile
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

MAKE_WORKER = "tests.small_system:make_worker"
MAKE_CONTROL = "tests.small_system:make_control"

PREFILL = ("prefill-0", "prefill-1")
DECODE = ("decode-0",)
NUM_DIES = 4
WORKERS = ("fabric", "cache", *PREFILL, *DECODE)
BLOCK_TOKENS = 128

MS = 1_000_000


def small_spec(
    num_requests: int = 40, *, rate_per_s: float = 8.0, max_output: int = 50, seed: int = 1, **more: Any
) -> dict[str, Any]:
    """Requests as rows of (arrival, prompt, output, prefix), and what more the parts are to know."""
    draws = stream(seed, "small-system")
    arrived_ns = (draws.exponential(1e9 / rate_per_s, num_requests).cumsum()).astype(int).tolist()
    prompts = draws.integers(200, 2000, num_requests).tolist()
    outputs = draws.integers(1, max_output, num_requests).tolist()
    sessions = draws.integers(0, 5, num_requests).tolist()
    prefixes = [
        [session * 1000 + block for block in range(-(-prompt // BLOCK_TOKENS))]
        for session, prompt in zip(sessions, prompts, strict=True)
    ]
    return {"rows": list(zip(arrived_ns, prompts, outputs, prefixes, strict=True)), "decode_blocks": 400, **more}


class RowSource(TimingFlags):
    """A trace source of one request at each instant."""

    address = "source"
    priority = Priority.SOURCE

    def __init__(self, rows: list[tuple[int, int, int, list[int]]]) -> None:
        self._rows = rows[::-1]
        self.deadline_ns = rows[0][0]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """The end of the run."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """The next request."""
        _, prompt, output, prefix = self._rows.pop()
        arrived = RequestsArrived([prompt], seal_output_tokens([output]), [prefix], [0], BLOCK_TOKENS)
        if self._rows:
            self.deadline_ns = self._rows[-1][0]
            return ((CORE_ADDRESS, arrived),)
        self.deadline_ns = NEVER_NS
        return ((CORE_ADDRESS, arrived), (CORE_ADDRESS, ArrivalsEnded()))


class FlatCost:
    """20 ms a pass and 20 us a computed token."""

    def prefill_ns(self, computed_tokens: int, attention_pairs: int, cached_tokens: int) -> int:
        """Nanoseconds."""
        return 20 * MS + 20_000 * computed_tokens


class FlatSteps:
    """15 ms a step, 0.1 ms a sequence and 0.1 us a KV token of the fullest die."""

    _FORM = StepForm((StreamCost(15 * MS * 1000 + 100_000_000 * np.arange(17), 0, 100_000),), 0)

    def form(self, num_running: int, kv_tokens: int) -> StepForm:
        """The same whatever the load."""
        return self._FORM


class FlatEnergy:
    """Whole joules, so that sums do not depend on their order."""

    def joules(self, *, busy_ns: int, idle_ns: int, **_: int) -> float:
        """2 W busy, 1 W idle, as if a nanosecond were a second."""
        return float(2 * busy_ns + idle_ns)


class Log(Guest):
    """Keeps what the core was given."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, Message]] = []

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Keep one message."""
        self.messages.append((now_ns, message))
        return NOTHING


def make_core(spec: dict[str, Any]) -> Scheduler:
    """The scheduler over two prefill and one decode instance with a cache pool."""
    prefill = [InstanceInfo(address, 2, 20_000) for address in PREFILL]
    decode = [InstanceInfo(address, 2, spec["decode_blocks"] * BLOCK_TOKENS) for address in DECODE]
    source = ModelSource(TransferKind.MODEL_LOAD, Plane.UB, "cache", "cache pool")
    weights = ModelWeights(spec.get("model_tokens", 1), dict.fromkeys(DECODE, (source,)))
    config = SchedulerConfig(prefill=prefill, decode=decode, cache_mode=CacheMode.POOL, weights=weights)
    return Scheduler(config, make_routing_policy("least_loaded"), make_routing_policy("least_loaded"))


def make_fabric() -> Fabric:
    """Streams of 5 GB/s, and lines of 20 of each of two ranks of a prefill instance, and four dies of decode."""
    num_ranks, line = 2, 5 * 10**9
    num_lines = num_ranks * len(PREFILL) + NUM_DIES * len(DECODE)
    lines = {end: [20 * 10**9] * num_lines for end in (LineEnd.RDMA_DIE, LineEnd.UB_DIE)}
    links = [LinkGroup(LineEnd.RDMA_DIE, range(number, number + 1)) for number in range(num_lines)]
    sources = {address: range(num_ranks * i, num_ranks * (i + 1)) for i, address in enumerate(PREFILL)}
    first = num_ranks * len(PREFILL)
    destinations = {a: range(first + NUM_DIES * i, first + NUM_DIES * (i + 1)) for i, a in enumerate(DECODE)}
    profiles: dict[tuple[TransferKind, Plane, str, str], PathProfile] = {}
    for i, address in enumerate(PREFILL):
        into = len(links)
        links += [LinkGroup(LineEnd.UB_DIE, range(i, i + 1))] * 2
        profiles[TransferKind.CACHE_READ, Plane.UB, "cache", address] = PathProfile((into,), line, line, 4, 50_000)
        profiles[TransferKind.CACHE_WRITE, Plane.UB, address, "cache"] = PathProfile((into + 1,), line, line, 4, 50_000)
    for address in DECODE:
        profile = PathProfile((len(links),), line, line, 4, 50_000)
        profiles[TransferKind.MODEL_LOAD, Plane.UB, "cache", address] = profile
        links.append(LinkGroup(LineEnd.UB_DIE, range(len(PREFILL), len(PREFILL) + 1)))
    kv_transfer = KvTransferRoutes(sources, destinations, line, 50_000)
    return Fabric(FabricConfig(MadeUpLines(lines), links, kv_transfer, profiles, 70_000, 61))


def make_worker(spec: dict[str, Any], address: str) -> Component:
    """The worker of that address."""
    if address == "fabric":
        return make_fabric()
    if address == "cache":
        return CachePool(StoreSizes(1, 500 * BLOCK_TOKENS, BLOCK_TOKENS))
    if address in PREFILL:
        return PrefillInstance(
            address, PrefillConfig(4096, 200), FlatCost(), FlatEnergy(), began_ns=spec.get("began_ns", 0)
        )
    if spec.get("breaks"):
        raise ValueError("this worker cannot be made")
    config = DecodeConfig(
        num_dies=NUM_DIES,
        blocks_per_die=spec["decode_blocks"],
        slots_per_die=16,
        extent_blocks=1,
        tokens_per_step_num=17,
        tokens_per_step_den=10,
        report_interval_ns=spec.get("report_interval_ns", NEVER_NS),
        sampling=Sampling(*spec["sampled"]) if "sampled" in spec else None,
    )
    return DecodeInstance(address, config, FlatSteps(), FlatEnergy(), began_ns=spec.get("began_ns", 0))


def make_control(spec: dict[str, Any]) -> ControlParts:
    """Core, source, and a guest that keeps all messages; what is kept is (table, messages)."""
    core, log = make_core(spec), Log()
    core.add_guest(log)
    rows = [(arrived, prompt, output, list(prefix)) for arrived, prompt, output, prefix in spec["rows"]]
    source = make_clients(rows, spec["clients"], spec.get("think_s", 0.05)) if "clients" in spec else RowSource(rows)
    return ControlParts(core, (source,), lambda: (core.table, log.messages))


def make_clients(rows: list[tuple[int, int, int, list[int]]], number: int, think_s: float) -> ClientSource:
    """So many clients who ask for the rows in their order, and think after each."""
    arrived_ns, prompts, outputs, prefixes = map(list, zip(*rows))
    block = ArrivalBlock(arrived_ns, prompts, outputs, prefixes, [0] * len(rows))
    trace = Trace("small", BLOCK_TOKENS, len(rows), iter([block]))
    return client_source(trace, [ClientGroup(number, think=ThinkTime(think_s))], waits=False, seed=0)


def stamps(table: Any) -> list[tuple[int, ...]]:
    """What became of each request, as rows."""
    columns = (
        "reason", "prefill_instance", "cached_tokens", "output_tokens", "arrived_ns", "prefill_started_ns",
        "first_token_ns", "decode_started_ns", "last_token_ns", "ended_ns", "preemptions",
    )  # fmt: skip
    return list(zip(*(getattr(table, name)[: table.num_requests] for name in columns), strict=True))

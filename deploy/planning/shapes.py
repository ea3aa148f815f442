"""Sizes of instances that a cluster offers, and how many of each the cost model says are needed at least."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, isfinite
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from deploy.hardware.operating_points import InstanceOptions, decode_point, prefill_point
from deploy.planning.demand import Demand
from deploy.planning.search import Counts, Lattice
from deploy.settings.settings import DEFAULTS, Settings
from deploy.system.blueprint import Blueprint
from deploy.system.drafting import drafting_of
from scheduler.core.config import CacheMode
from scheduler.metrics.slo import Slo
from scheduler.protocol.errors import ConfigError
from scheduler.sources.arrivals import BLOCK_TOKENS
from sim_hw.errors import HardwareModelError
from sim_hw.operators.operating_point import PrefillPoint
from sim_hw.steps.predict import largest_batch, predict_decode, predict_prefill

SIZES: Final = {"p": 4, "d": 2, "a": 3}
"""Of each role the sizes kept, those that need the fewest NPUs. Long prompts tell which sizes of prefill do at all."""

TARGET_LOAD: Final = 0.7
"""Of what an instance can do at most; the search begins there, and ends where the trace says."""

LEAST_SHARE: Final = 0.5
"""Of what the cost model says is needed on the mean, what no plan is tried with less of."""

MAX_SUPERNODES: Final = 16


class Kind(Struct, frozen=True):
    """Instances of a role and a size: `needed` of them have no time left at the mean of the demand; `error_bar` is the
    relative error of that."""

    role: str
    num_npus: int
    needed: float
    error_bar: float

    @property
    def aimed(self) -> int:
        """NPUs of whole instances at the load that is aimed at."""
        return self.num_npus * ceil(self.needed / TARGET_LOAD)


class Shape(Struct, frozen=True):
    """Kinds of instances on the cluster of `settings`; counts are of each of `num_supernodes`, which are alike.
    `varied`: settings that the search has changed, by flat name."""

    settings: Settings
    kinds: tuple[Kind, ...]
    num_supernodes: int
    lattice: Lattice
    start: Counts
    varied: Mapping[str, str | int] = {}

    def is_default(self, name: str) -> bool:
        """Whether a setting is as it is where nobody says anything."""
        return self.settings.flat[name] == DEFAULTS[name]

    def with_settings(self, told: Mapping[str, str | int]) -> Shape:
        """The same under other settings."""
        return replace(self, settings=self.settings.changed(**told), varied={**self.varied, **told})

    @property
    def largest(self) -> Counts:
        """As many as the cluster holds, in the proportions of the start."""
        every = list(self.lattice.largest(self.lattice.most + 1))
        return min(every, key=lambda counts: (self._skew(counts), counts))

    def _skew(self, counts: Counts) -> float:
        shares = [count / at_start for count, at_start in zip(counts, self.start, strict=True)]
        return max(shares) / min(shares)

    @property
    def error_bar(self) -> float:
        """Of the kind that is known least well."""
        return max(kind.error_bar for kind in self.kinds)

    @property
    def cluster(self) -> str:
        """Its name."""
        return self.settings.hardware.cluster.name

    @property
    def has_pool(self) -> bool:
        """Whether caches are pooled, on servers of their own."""
        return self.settings.cache.mode is CacheMode.POOL

    def settings_of(self, counts: Counts, num_cache_servers: int | None = None) -> Settings:
        """For a run of the plan of these counts."""
        return self.settings.changed(plan=self.plan(counts, num_cache_servers))

    def plan(self, counts: Counts, num_cache_servers: int | None = None) -> str:
        """The plan of these counts, with a cache server on each node that it takes where caches are pooled, or with so
        many."""
        terms = [f"{count}x{kind.num_npus}{kind.role}" for count, kind in zip(counts, self.kinds, strict=True)]
        if self.has_pool:
            terms.append(f"{num_cache_servers or self.num_nodes(counts)}c")
        text = "+".join(terms)
        return text if self.num_supernodes == 1 else f"{self.num_supernodes}*({text})"

    def num_nodes(self, counts: Counts) -> int:
        """Of one supernode, those that these counts take."""
        cluster = self.settings.hardware.cluster
        return min(ceil(self.lattice.cost(counts) / cluster.npus_per_node.count), cluster.num_nodes.count)

    def num_npus(self, counts: Counts) -> int:
        """Of all supernodes."""
        return self.num_supernodes * self.lattice.cost(counts)


def shapes_of(settings: Settings, demand: Demand, slo: Slo) -> list[Shape]:
    """Those that could do, the one that needs the fewest NPUs first. `ConfigError` says why there is none."""
    cluster = settings.hardware.cluster
    sizes = _sizes(cluster.num_npus, settings)
    of_prefill, no_prefill = _kinds(sizes, lambda size, limits: _prefill(settings, size, demand, limits), slo)
    of_decode, no_decode = _kinds(sizes, lambda size, limits: _decode(settings, size, demand, limits), slo)
    if not of_prefill or not of_decode:
        stage, why = ("prefill", no_prefill) if not of_prefill else ("decode", no_decode)
        raise ConfigError(f"{cluster.name}: no size of {stage} instance can serve this: {why}")
    apart = [(one, other) for one in _best("p", of_prefill) for other in _best("d", of_decode)]
    together = [(kind,) for kind in _best("a", _both(of_prefill, of_decode))]
    found = [shape for kinds in (*apart, *together) if (shape := _shape(settings, kinds)) is not None]
    if not found:
        needed = min(sum(kind.aimed for kind in kinds) for kinds in (*apart, *together))
        raise ConfigError(
            f"{cluster.name}: needs some {needed:,.0f} NPUs, and {MAX_SUPERNODES} supernodes have "
            f"{MAX_SUPERNODES * cluster.num_npus:,}: lower the rate"
        )
    return sorted(found, key=lambda shape: shape.num_npus(shape.start))


def _sizes(num_npus: int, settings: Settings) -> list[int]:
    """Powers of two and three halves of them, parts of a node or whole nodes, and those of the default plan."""
    defaults = settings.hardware.cluster.defaults
    powers = [2**power for power in range(num_npus.bit_length())]
    sizes = {*powers, *(3 * one // 2 for one in powers), defaults.prefill.num_npus, defaults.decode.num_npus}
    node = settings.hardware.cluster.npus_per_node.count
    return sorted(size for size in sizes if size <= num_npus and not (size % node and node % size))


def _kinds(sizes: Sequence[int], kind_of: Callable[[int, Slo], Kind], slo: Slo) -> tuple[list[Kind], str]:
    """Of all sizes that can be, and why the last of the others cannot. Where the cost model finds none that keeps the
    limits, those that can be at all: replays then tell which limit fails, and by how much."""
    for limits in (slo, Slo()):
        found: list[Kind] = []
        why = ""
        for size in sizes:
            try:
                kind = kind_of(size, limits)
            except HardwareModelError as error:
                why = str(error)
            else:
                if isfinite(kind.needed):
                    found.append(kind)
        if found:
            return found, why
    return [], why


def _best(role: str, kinds: Sequence[Kind]) -> list[Kind]:
    """Those that need the fewest NPUs."""
    return sorted(kinds, key=lambda one: (one.aimed, one.num_npus))[: SIZES[role]]


def _both(of_prefill: Sequence[Kind], of_decode: Sequence[Kind]) -> list[Kind]:
    """Instances that do both: what the two stages take of their time adds up."""
    decodes = {kind.num_npus: kind for kind in of_decode}
    pairs = [(one, decodes[one.num_npus]) for one in of_prefill if one.num_npus in decodes]
    return [
        Kind("a", one.num_npus, one.needed + other.needed, max(one.error_bar, other.error_bar)) for one, other in pairs
    ]


def _prefill(settings: Settings, num_npus: int, demand: Demand, slo: Slo) -> Kind:
    hardware, options = settings.hardware, settings.instances
    prompt = max(1, min(round(demand.prompt_tokens), hardware.model.max_positions))
    instance = InstanceOptions(num_npus=num_npus, eplb=options.expert_balance)
    per_npu = options.prefill_tokens_per_npu
    point = prefill_point(hardware.cluster, hardware.model, instance, per_npu, prompt)
    found = predict_prefill(point)
    if slo.ttft_s is not None:
        _check_alone(point, demand, slo.ttft_s)
    needed = demand.computed_tokens_per_s / (found.tokens_per_s_per_npu * num_npus)
    return Kind("p", num_npus, needed, found.error_bar)


def _check_alone(point: PrefillPoint, demand: Demand, limit_s: float) -> None:
    """That a long prompt, of which as much is cached as of others, can meet its limit where nothing waits."""
    computed = max(1, round(demand.long_prompt_tokens * (1 - demand.cached_share)))
    tokens_per_npu = max(1, ceil(computed / point.num_npus))
    alone_s = predict_prefill(
        replace(point, prompt_tokens=computed, batch_tokens_per_npu=min(tokens_per_npu, point.batch_tokens_per_npu))
    ).ttft_s
    if alone_s > limit_s:
        raise HardwareModelError(
            f"{computed:,} uncached tokens of a prompt take {alone_s:.3g} s on {point.num_npus} NPUs, "
            f"{limit_s:g} s asked for"
        )


def _decode(settings: Settings, num_npus: int, demand: Demand, slo: Slo) -> Kind:
    hardware, options = settings.hardware, settings.instances
    context = max(1, min(round(demand.context_tokens), hardware.model.max_positions))
    drafting = drafting_of(settings)
    instance = InstanceOptions(num_npus=num_npus, eplb=options.expert_balance)
    load = 1, context, drafting.drafts, drafting.acceptance
    point = decode_point(
        hardware.cluster, hardware.model, instance, *load, drafter=drafting.drafter.value, draft_model=drafting.model
    )
    found = predict_decode(largest_batch(point, slo.tpot_s if slo.tpot_s is not None else float("inf")))
    needed = demand.output_tokens_per_s / (found.tokens_per_s_per_npu * num_npus)
    return Kind("d", num_npus, needed, found.error_bar)


def _shape(settings: Settings, kinds: tuple[Kind, ...]) -> Shape | None:
    """On as few supernodes as the cost model says are needed; None if these are too many, or such instances are none
    that this cluster and model can have."""
    num_npus = settings.hardware.cluster.num_npus
    sizes = tuple(kind.num_npus for kind in kinds)
    for num_supernodes in range(1, MAX_SUPERNODES + 1):
        start = tuple(max(1, ceil(kind.needed / TARGET_LOAD / num_supernodes)) for kind in kinds)
        least = tuple(max(1, int(LEAST_SHARE * kind.needed / num_supernodes)) for kind in kinds)
        lattice = Lattice(sizes, least, num_npus)
        if lattice.cost(start) <= num_npus:
            shape = Shape(settings, kinds, num_supernodes, lattice, start)
            return shape if _can_be(shape) else None
    return None


def _can_be(shape: Shape) -> bool:
    try:
        # Whether there is room for KV is known when instances say how long a sequence they hold.
        return Blueprint(shape.settings_of(shape.start), BLOCK_TOKENS).max_prompt_tokens > 0
    except ConfigError:
        return False

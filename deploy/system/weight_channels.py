"""The ways on which instances load their model: from the cache pool, their own nodes' DRAM, or the object store.

What comes from the pool takes the lines that reads of KV take, and shares them with these. The object store is one
bucket for the whole fleet; local DRAM is read by its own instance alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from deploy.system.fabric import FabricPlan, latency_ns
from scheduler.core.guests.weight_loads import ModelSource, ModelWeights
from scheduler.protocol.addresses import pool_addresses
from scheduler.protocol.fabric_messages import Plane, TransferKind
from sim_hw.clusters.supernode import Endpoint, Memory, Operation, Reach, Supernode
from sim_hw.model_loading import OBJECT_STORE_BYTES_PER_S, Strategy
from sim_hw.network.fabric_rates import VPC_LATENCY_S, FabricRate, pool_rate
from sim_hw.network.lines import LineEnd
from sim_hw.planes import Plane as CatalogPlane
from workers.fabric.routes import LinkGroup, PathProfile

OBJECT_STORE = "object-store"
"""Where it is an end of transfers."""


class ModelChannels:
    """Adds the profiles of models to a plan; `sources` of each instance, in the order in which it tries them.

    A pool keeps `num_versions` of the weights, the DRAM of an instance's own nodes one.
    """

    def __init__(self, plan: FabricPlan, strategy: Strategy, cache_plane: Plane, num_versions: int) -> None:
        self._plan = plan
        self._num_versions = num_versions
        self._bucket = plan.link(LinkGroup(LineEnd.OBJECT_STORE, range(1)))
        self.sources: Mapping[str, tuple[ModelSource, ...]] = {
            address: (*self._from_dram(address, strategy, cache_plane), self._from_object_store(address))
            for address in plan.addresses
        }

    def weights(self, bytes_of: Callable[[Supernode], float], kv_bytes_per_token: int) -> ModelWeights:
        """What each instance loads in the precisions of its cluster, rounded up to whole tokens' worth of KV."""
        whole = {one: -int(-bytes_of(one) // kv_bytes_per_token) for one in dict.fromkeys(self._plan.clusters)}
        usual = whole[self._plan.clusters[0]]
        loaded = {address: whole[self._plan.cluster_of(address)] for address in self._plan.addresses}
        others = {address: tokens for address, tokens in loaded.items() if tokens != usual}
        return ModelWeights(usual, self.sources, others)

    def _from_dram(self, address: str, strategy: Strategy, cache_plane: Plane) -> Sequence[ModelSource]:
        plan = self._plan
        if strategy is Strategy.POOL:
            pool = pool_addresses(plan.num_supernodes)[plan.supernode_of(address)]
            if pool not in plan.pool_out:  # its supernode has none, and UB ends there
                return ()
            rate = pool_rate(plan.cluster_of(address), CatalogPlane(cache_plane.name.lower()), Operation.READ)
            kept = self._num_versions, plan.num_servers[pool]
            source = ModelSource(TransferKind.MODEL_LOAD, cache_plane, pool, strategy.value, *kept)
            self._add_fetch(pool, lambda: plan.pool_cards_in(pool))
            return (self._added(source, address, (plan.pool_out[pool], plan.into(address, cache_plane)), rate),)
        if strategy is Strategy.LOCAL:
            try:
                access = plan.cluster_of(address).ub_access(Memory.CPU_DRAM, Operation.READ, Reach.SAME_NODE)
            except LookupError:  # nobody has measured it
                return ()
            rate = FabricRate(plan.cluster_of(address), Endpoint.DIE, access.bytes_per_s, access.latency_s)
            source = ModelSource(TransferKind.MODEL_FETCH, Plane.UB, f"{address}/dram", strategy.value)
            self._add_fetch(source.address, lambda: plan.into(address, Plane.VPC))
            return (self._added(source, address, (plan.into(address, Plane.UB),), rate),)
        return ()

    def _added(self, source: ModelSource, address: str, links: tuple[int, ...], rate: FabricRate) -> ModelSource:
        """Streams of all dies of the instance, as those of reads of KV."""
        num_dies, line = self._plan.num_dies(address), self._plan.die_line_rate_bytes_per_s(address, source.plane)
        data = round(rate.bytes_per_s_of(self._plan.num_npus(address)) / num_dies)
        profile = PathProfile(links, line, data, num_dies, latency_ns(rate.latency_s))
        self._plan.profiles[source.kind, source.plane, source.address, address] = profile
        return source

    def _from_object_store(self, address: str) -> ModelSource:
        self._add_fetch(address, lambda: self._plan.into(address, Plane.VPC))
        return ModelSource(TransferKind.MODEL_FETCH, Plane.VPC, OBJECT_STORE, Strategy.NONE.value)

    def _add_fetch(self, to: str, cards_in: Callable[[], int]) -> None:
        """One stream, which the bucket bounds, and the cards of the nodes that take it in where there are any."""
        try:
            links = self._bucket, cards_in()
        except LookupError:
            links = (self._bucket,)
        rate = round(OBJECT_STORE_BYTES_PER_S.value)
        profile = PathProfile(links, rate, rate, 1, latency_ns(VPC_LATENCY_S))
        self._plan.profiles[TransferKind.MODEL_FETCH, Plane.VPC, OBJECT_STORE, to] = profile

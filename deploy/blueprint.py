"""Builds the parts of a system from a configuration: the only place where control plane, workers and physics meet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from deploy.config import RunConfig
from deploy.hardware.lookup import load_cluster, load_model
from deploy.instance_physics import InstancePhysics
from deploy.plan import Plan, parse_plan
from scheduler.core.config import CACHE_ADDRESS, FABRIC_ADDRESS, CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.scheduler import Scheduler
from scheduler.policies import make_routing_policy
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import Plane, TransferKind
from sim_hw.engine.compiled_decode import DecodeSteps
from sim_hw.engine.kv_room import KV_BLOCK_TOKENS
from sim_hw.errors import HardwareModelError
from sim_hw.hardware.fabric_rates import FabricRate, hand_over_rate, pool_rate
from sim_hw.hardware.supernode import Endpoint, Operation
from sim_hw.hardware.supernode import Plane as CatalogPlane
from workers.cache.pool import CachePool
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.decode import DecodeConfig, DecodeInstance
from workers.fabric import ChannelRate, Fabric, FabricConfig
from workers.prefill import PrefillConfig, PrefillInstance

if TYPE_CHECKING:  # a virtual run is not watched
    from scheduler.metrics.snapshot import LiveInstance


class Role(StrEnum):
    """What an instance does."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance of the plan."""

    address: str
    role: Role
    num_npus: int


class Blueprint:
    """A configuration held against its hardware: names every part and makes any of them on its own.

    The virtual runtime makes all parts in one process; live, each Ray actor makes only what it hosts, from the same
    configuration. `block_tokens` is the trace's prefix block size.
    """

    def __init__(self, config: RunConfig, block_tokens: int) -> None:
        self.config = config
        self.block_tokens = block_tokens
        self.cluster = load_cluster(config.cluster)
        self.model = load_model(config.model)
        self.plan: Plan = parse_plan(config.plan, self.cluster.num_npus, self.cluster.num_nodes.count)
        self._physics = InstancePhysics(config, self.cluster, self.model)
        self.prefill = [
            InstanceSpec(f"prefill-{index}", Role.PREFILL, npus) for index, npus in enumerate(self.plan.prefill_npus)
        ]
        self.decode = [
            InstanceSpec(f"decode-{index}", Role.DECODE, npus) for index, npus in enumerate(self.plan.decode_npus)
        ]
        if config.cache == "pool":
            if not self.plan.num_cache_servers:
                raise ConfigError(
                    f"plan {config.plan!r} has no cache servers for --cache pool; add 48c or use --cache none"
                )
            self._pool_rate(Operation.READ)  # whether there is one is to be known before anything starts

    @property
    def worker_addresses(self) -> list[str]:
        """Addresses of everything but the control plane, in the order of their construction."""
        pool = [CACHE_ADDRESS] if self.config.cache == "pool" else []
        return [FABRIC_ADDRESS, *pool, *(spec.address for spec in self.instances)]

    def live_instances(self) -> list[LiveInstance]:
        """The instances as those who watch a live system know them, in the order of the core."""
        from scheduler.metrics.snapshot import LiveInstance

        return [
            LiveInstance(
                spec.address,
                "decode" if spec.role is Role.DECODE else "prefill",
                spec.num_npus,
                # Every rank of a prefill instance holds the same KV, every die of a decode instance its own.
                self._kv_tokens(spec) * (self._num_dies(spec) if spec.role is Role.DECODE else 1),
            )
            for spec in self.instances
        ]

    @property
    def instances(self) -> list[InstanceSpec]:
        """All that account for NPUs, in the order in which NPUs are dealt out."""
        return [*self.prefill, *self.decode]

    def make_core(self) -> Scheduler:
        """The control plane's state machine."""
        config = self.config
        return Scheduler(
            SchedulerConfig(
                prefill=[self._info(spec) for spec in self.prefill],
                decode=[self._info(spec) for spec in self.decode],
                cache_mode=CacheMode(config.cache),
                cache_plane=Plane[config.cache_plane.upper()],
                max_open_requests=config.max_open_requests,
                num_cache_servers=self.plan.num_cache_servers,
                has_cache_ssd=self._has_cache_ssd,
            ),
            make_routing_policy(config.policy),
            make_routing_policy(config.policy),
        )

    def make_worker(self, address: str, report_interval_ns: int = NEVER_NS, began_ns: int = 0) -> Component:
        """The worker of that address; one that is made within a run accounts from `began_ns`."""
        if address == FABRIC_ADDRESS:
            return Fabric(self._fabric_config())
        if address == CACHE_ADDRESS:
            return CachePool(self.pool_sizes())
        for spec in self.prefill:
            if spec.address == address:
                return self._make_prefill(spec, began_ns)
        spec = next(spec for spec in self.decode if spec.address == address)
        return self._make_decode(spec, report_interval_ns, began_ns)

    def _info(self, spec: InstanceSpec) -> InstanceInfo:
        # A sequence may fit in memory and still be longer than the model's positions.
        return InstanceInfo(spec.address, spec.num_npus, min(self._kv_tokens(spec), self.model.max_positions))

    def _kv_tokens(self, spec: InstanceSpec) -> int:
        """KV tokens of a prefill instance, or of one die of a decode instance."""
        if spec.role is Role.PREFILL:
            return self._physics.prefill(spec.num_npus).kv_blocks * KV_BLOCK_TOKENS
        return self._physics.decode(spec.num_npus).room.kv_blocks * KV_BLOCK_TOKENS

    def _num_dies(self, spec: InstanceSpec) -> int:
        return spec.num_npus * self.cluster.chip.num_dies.count

    def _make_prefill(self, spec: InstanceSpec, began_ns: int) -> PrefillInstance:
        physics = self._physics.prefill(spec.num_npus)
        cache = None
        if self.config.cache == "local":
            num_nodes = spec.num_npus / self.cluster.npus_per_node.count
            cache = BlockStore(self._store_sizes(1, num_nodes))
        return PrefillInstance(
            spec.address,
            PrefillConfig(self.config.prefill_tokens_per_npu * spec.num_npus, physics.kv_blocks),
            physics.cost,
            physics.power,
            cache,
            began_ns=began_ns,
        )

    def _make_decode(self, spec: InstanceSpec, report_interval_ns: int, began_ns: int) -> DecodeInstance:
        physics = self._physics.decode(spec.num_npus)
        config = DecodeConfig(
            num_dies=physics.num_dies,
            blocks_per_die=physics.room.kv_blocks,
            slots_per_die=physics.room.sequences,
            extent_blocks=self.config.kv_extent_blocks,
            tokens_per_step_num=physics.tokens_per_step[0],
            tokens_per_step_den=physics.tokens_per_step[1],
            report_interval_ns=report_interval_ns,
        )
        steps = DecodeSteps(physics.cost, physics.num_dies)
        return DecodeInstance(spec.address, config, steps, physics.power, began_ns=began_ns)

    def pool_sizes(self) -> StoreSizes:
        """Of the cache pool, in tokens of KV."""
        return self._store_sizes(self.plan.num_cache_servers)

    def _store_sizes(self, num_servers: int, nodes_per_server: float = 1.0) -> StoreSizes:
        """Of a store of KV on so many cache servers."""
        config, token_bytes = self.config, self._kv_bytes_per_token()
        return StoreSizes(
            num_servers,
            int(config.cache_bytes_per_server * nodes_per_server // token_bytes),
            config.cache_block_tokens or self.block_tokens,
            # Caches of single instances are their nodes' DRAM alone.
            int(config.cache_ssd_bytes_per_server // token_bytes) if config.cache == "pool" else 0,
            config.cache_namespace_share,
            self.block_tokens,
        )

    def _kv_bytes_per_token(self) -> int:
        return int(self.model.kv_bytes_per_token(self._has_mtp))

    @property
    def _has_mtp(self) -> bool:
        return self.config.mtp and bool(self.model.mtp_layers)

    def _fabric_config(self) -> FabricConfig:
        cluster, plane = self.cluster, self.config.cache_plane
        hand_over = hand_over_rate(cluster)
        channels = {
            # One decode die pulls a request's KV from one prefill rank; different requests use different ranks.
            (TransferKind.HAND_OVER, Plane.RDMA, spec.address): _channel(
                hand_over, spec.num_npus, hand_over.bytes_per_s.value
            )
            for spec in self.prefill
        }
        if self.config.cache == "pool":
            for kind, operation in (
                (TransferKind.CACHE_READ, Operation.READ),
                (TransferKind.CACHE_WRITE, Operation.WRITE),
            ):
                rate = self._pool_rate(operation)
                for spec in self.prefill:
                    channels[kind, Plane[plane.upper()], spec.address] = _channel(rate, spec.num_npus)
                    if self._has_cache_ssd:
                        # All servers together: their blocks are spread by hash.
                        channels.setdefault((kind, Plane.VPC, spec.address), self._ssd_channel(operation))
        num_layers = self.model.layers + (self.model.mtp_layers if self._has_mtp else 0)
        return FabricConfig(channels, self._kv_bytes_per_token(), num_layers)

    @property
    def _has_cache_ssd(self) -> bool:
        return self.config.cache == "pool" and self.config.cache_ssd_bytes_per_server > 0

    def _ssd_channel(self, operation: Operation) -> ChannelRate:
        """Between the cache servers and their block storage, at the line rate of their nodes."""
        rate = pool_rate(self.cluster, CatalogPlane.VPC, operation)
        return _channel(rate, self.plan.num_cache_servers * self.cluster.npus_per_node.count)

    def _pool_rate(self, operation: Operation) -> FabricRate:
        try:
            return pool_rate(self.cluster, CatalogPlane(self.config.cache_plane), operation)
        except HardwareModelError as error:
            raise ConfigError(str(error)) from error

    def plane_capacity_bytes_per_s(self) -> dict[Plane, float]:
        """Line rate of all endpoints of each plane together, one direction."""
        cluster = self.cluster
        return {
            Plane.UB: cluster.num_dies * cluster.port(CatalogPlane.UB, Endpoint.DIE).bytes_per_s.value,
            Plane.RDMA: cluster.num_dies * cluster.port(CatalogPlane.RDMA, Endpoint.DIE).bytes_per_s.value,
            Plane.VPC: cluster.num_nodes.count * cluster.port(CatalogPlane.VPC, Endpoint.NODE).bytes_per_s.value,
        }


def _channel(rate: FabricRate, num_npus: int, stream_bytes_per_s: float | None = None) -> ChannelRate:
    """What an instance of that size gets; without a stream rate, one request's data spreads over all its dies."""
    total = rate.bytes_per_s_of(num_npus)
    return ChannelRate(stream_bytes_per_s or total, total, round(rate.latency_s.value * 1e9))

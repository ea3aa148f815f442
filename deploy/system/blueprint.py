"""Builds the parts of a system from a configuration: the only place where control plane, workers and physics meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from deploy.hardware.lookup import load_cluster, load_model
from deploy.settings.flow_control import flow_control
from deploy.settings.own_policy import make_policy
from deploy.settings.parking import parking_rules
from deploy.settings.plan import Plan, parse_plan
from deploy.settings.run_config import RunConfig
from deploy.system.fabric import FabricPlan, Placed
from deploy.system.instance_physics import InstancePhysics
from deploy.system.weight_channels import ModelChannels
from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.guests.weight_loads import ModelWeights
from scheduler.core.scheduler import Scheduler
from scheduler.policies.classes import parse_classes
from scheduler.policies.view import PolicyContext, RoutingPolicy, StageKind
from scheduler.protocol.addresses import FABRIC_ADDRESS, decode_address, pool_addresses, prefill_address
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import Plane
from scheduler.runtime.random_streams import stream
from sim_hw.clusters.supernode import Endpoint
from sim_hw.errors import HardwareModelError
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS
from sim_hw.instance.ub_shares import PPM
from sim_hw.model_loading import Strategy
from sim_hw.planes import Plane as CatalogPlane
from workers.cache.pool import CachePool
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.decode.instance import DecodeConfig, DecodeInstance
from workers.fabric.expert_load import CostAtShares, ExpertLoad
from workers.fabric.expert_traffic import ExpertLinks
from workers.fabric.fabric import Fabric, FabricConfig
from workers.prefill import PrefillConfig, PrefillInstance

if TYPE_CHECKING:  # a virtual run is not watched, and few have a power cap or traffic of others
    from deploy.settings.background import NamedFlow
    from scheduler.core.guests.power_budgets import PowerCap
    from scheduler.metrics.layout import LiveInstance

Cost = TypeVar("Cost")


class Role(StrEnum):
    """What an instance does."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """One instance of the plan, in one of its supernodes."""

    address: str
    role: Role
    num_npus: int
    supernode: int = 0


class Blueprint:
    """A configuration held against its hardware: names every part and makes any of them on its own.

    The virtual runtime makes all parts in one process; live, each Ray actor makes only what it hosts, from the same
    configuration. `block_tokens` is the trace's prefix block size. `loads_models`: workers may be lost, so that the
    fabric is to have the ways on which models are loaded.
    """

    def __init__(self, config: RunConfig, block_tokens: int, *, loads_models: bool = False) -> None:
        self.config = config
        self.block_tokens = block_tokens
        self._loads_models = loads_models
        self.cluster = load_cluster(config.cluster)
        self.model = load_model(config.model)
        self.plan: Plan = parse_plan(config.plan, self.cluster.num_npus, self.cluster.num_nodes.count)
        self._physics = InstancePhysics(config, self.cluster, self.model)
        prefill = [(npus, at) for at, one in enumerate(self.plan.supernodes) for npus in one.prefill_npus]
        decode = [(npus, at) for at, one in enumerate(self.plan.supernodes) for npus in one.decode_npus]
        self.prefill = [InstanceSpec(prefill_address(i), Role.PREFILL, *spec) for i, spec in enumerate(prefill)]
        self.decode = [InstanceSpec(decode_address(i), Role.DECODE, *spec) for i, spec in enumerate(decode)]
        self.pools = pool_addresses(len(self.plan.supernodes)) if config.cache == "pool" else ()
        if self.pools and any(one.prefill_npus and not one.num_cache_servers for one in self.plan.supernodes):
            raise ConfigError(
                f"plan {config.plan!r} has no cache servers for --cache pool; add 48c or use --cache none"
            )
        # Whether the pool is reached, and what background there is, is to be known before anything starts.
        self._background: list[NamedFlow] = []
        if config.background:
            from deploy.settings.background import read_background

            self._background = read_background(config.background, self.cluster)
        self._expert_links: Mapping[str, ExpertLinks] = self._fabric_config().expert_links

    @property
    def worker_addresses(self) -> list[str]:
        """Addresses of everything but the control plane, in the order of their construction."""
        return [FABRIC_ADDRESS, *self.pools, *(spec.address for spec in self.instances)]

    def live_instances(self) -> list[LiveInstance]:
        """The instances as those who watch a live system know them, in the order of the core."""
        from scheduler.metrics.layout import LiveInstance

        return [
            LiveInstance(
                spec.address,
                "decode" if spec.role is Role.DECODE else "prefill",
                spec.num_npus,
                # Every rank of a prefill instance holds the same KV, every die of a decode instance its own.
                self._kv_tokens(spec) * (self._num_dies(spec) if spec.role is Role.DECODE else 1),
                spec.supernode,
            )
            for spec in self.instances
        ]

    @property
    def instances(self) -> list[InstanceSpec]:
        """All that account for NPUs, in the order in which NPUs are dealt out."""
        return [*self.prefill, *self.decode]

    def prefill_infos(self) -> list[InstanceInfo]:
        """Prefill instances as they register."""
        return [self._info(spec) for spec in self.prefill]

    def decode_infos(self) -> list[InstanceInfo]:
        """Decode instances as they register."""
        return [self._info(spec) for spec in self.decode]

    def make_core(self) -> Scheduler:
        """The control plane's state machine."""
        config = self.config
        return Scheduler(
            SchedulerConfig(
                prefill=self.prefill_infos(),
                decode=self.decode_infos(),
                cache_mode=CacheMode(config.cache),
                cache_plane=Plane[config.cache_plane.upper()],
                pools=pool_addresses(len(self.plan.supernodes)),
                num_cache_servers=tuple(one.num_cache_servers for one in self.plan.supernodes),
                has_cache_ssd=self._has_cache_ssd,
                max_open_requests=config.max_open_requests,
                view_age_ns=round(config.view_age_s * 1e9),
                power=self._power_cap(),
                parking=parking_rules(config.parking),
                classes=parse_classes(config.classes),
                weights=self.model_weights(),
            ),
            self._make_policy(StageKind.PREFILL),
            self._make_policy(StageKind.DECODE),
            flow_control(config, max((spec.num_npus for spec in self.prefill), default=0)),
        )

    def _make_policy(self, stage: StageKind) -> RoutingPolicy:
        config = self.config
        return make_policy(config, PolicyContext(stage, stream(config.seed, f"policy {stage.value}")))

    def make_worker(self, address: str, report_interval_ns: int = NEVER_NS, began_ns: int = 0) -> Component:
        """The worker of that address; one that is made within a run accounts from `began_ns`."""
        if address == FABRIC_ADDRESS:
            return Fabric(self._fabric_config())
        if address in self.pools:
            return CachePool(self.pool_sizes(self.pools.index(address)), address=address)
        spec = next(spec for spec in self.instances if spec.address == address)
        if spec.role is Role.PREFILL:
            prefill = self._make_prefill(spec, began_ns)
            return self._parkable(spec, prefill, prefill.is_empty) if self.config.parking else prefill
        decode = self._make_decode(spec, report_interval_ns, began_ns)
        return self._parkable(spec, decode, decode.memory.is_empty) if self.config.parking else decode

    def _parkable(self, spec: InstanceSpec, inner: Component, is_empty: Callable[[], bool]) -> Component:
        from sim_hw.instance.parking import parked_instance
        from workers.parking import ParkableInstance

        return ParkableInstance(inner, is_empty, parked_instance(self.cluster.chip, spec.num_npus))

    def _power_cap(self) -> PowerCap | None:
        if not self.config.power_cap:
            return None
        from deploy.settings.power_cap import power_cap

        return power_cap(
            self.config,
            self.cluster,
            len(self.plan.supernodes),
            sum(spec.num_npus for spec in self.instances),
            [(spec.address, self._physics.prefill(spec.num_npus)) for spec in self.prefill],
            [(spec.address, self._physics.decode(spec.num_npus)) for spec in self.decode],
        )

    def _info(self, spec: InstanceSpec) -> InstanceInfo:
        # A sequence may fit in memory and still be longer than the model's positions.
        kv_tokens = self._kv_tokens(spec)
        longest = min(kv_tokens, self.model.max_positions)
        size = spec.address, spec.num_npus, longest, spec.supernode
        if spec.role is Role.DECODE:
            return InstanceInfo(*size, kv_tokens * self._num_dies(spec))
        return InstanceInfo(*size, kv_tokens, self._own_cache_blocks(spec) if self.config.cache == "local" else 0)

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
            cache = BlockStore(self._own_store_sizes(spec))
        return PrefillInstance(
            spec.address,
            PrefillConfig(
                self.config.prefill_tokens_per_npu * spec.num_npus, physics.kv_blocks, physics.least_budget_w
            ),
            physics.cost,
            physics.power,
            cache,
            began_ns=began_ns,
            expert_load=self._expert_load(spec, physics.at_shares, physics.line_ns),
            throttle=physics.throttle,
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
            budget_w=physics.least_budget_w,
        )
        steps = physics.steps_at_shares()
        return DecodeInstance(
            spec.address,
            config,
            steps.at(PPM),
            physics.power,
            began_ns=began_ns,
            expert_load=self._expert_load(spec, steps, (physics.line_ns, 0.0)),
            throttle=physics.throttle,
        )

    def _expert_load(
        self, spec: InstanceSpec, costs: CostAtShares[Cost], line_ns: tuple[float, float]
    ) -> ExpertLoad[Cost] | None:
        """Nobody hears of the expert traffic of an instance whose links nothing else shares."""
        links = self._expert_links.get(spec.address)
        return links and ExpertLoad(spec.address, costs, line_ns, links.line_rate_bytes_per_s)

    def _own_store_sizes(self, spec: InstanceSpec) -> StoreSizes:
        """Of the cache of one prefill instance: the DRAM of its nodes."""
        return self._store_sizes(1, spec.num_npus / self.cluster.npus_per_node.count)

    def _own_cache_blocks(self, spec: InstanceSpec) -> int:
        sizes = self._own_store_sizes(spec)
        return sizes.dram_tokens // sizes.block_tokens

    def pool_sizes(self, supernode: int = 0) -> StoreSizes:
        """Of the cache pool of a supernode, in tokens of KV."""
        return self._store_sizes(self.plan.supernodes[supernode].num_cache_servers)

    def _store_sizes(self, num_servers: int, nodes_per_server: float = 1.0) -> StoreSizes:
        """Of a store of KV on so many cache servers."""
        config, token_bytes = self.config, self.kv_bytes_per_token
        return StoreSizes(
            num_servers,
            int(config.cache_bytes_per_server * nodes_per_server // token_bytes),
            config.cache_block_tokens or self.block_tokens,
            # Caches of single instances are their nodes' DRAM alone.
            int(config.cache_ssd_bytes_per_server // token_bytes) if self._has_cache_ssd else 0,
            config.cache_namespace_share,
            self.block_tokens,
        )

    @property
    def _has_cache_ssd(self) -> bool:
        return self.config.cache == "pool" and self.config.cache_ssd_bytes_per_server > 0

    @property
    def kv_bytes_per_token(self) -> int:
        """What a token of KV takes wherever it is kept, and on its way."""
        return int(self.model.kv_bytes_per_token(self.has_mtp))

    @property
    def has_mtp(self) -> bool:
        """Whether instances run the model's MTP module."""
        return self.config.mtp and bool(self.model.mtp_layers)

    def _fabric_config(self) -> FabricConfig:
        num_layers = self.model.layers + (self.model.mtp_layers if self.has_mtp else 0)
        plan, background = self._fabric_plan(), self._background
        if self._loads_models:
            self._model_channels(plan)
        return plan.config(self.kv_bytes_per_token, num_layers, self.config.expert_traffic, background)

    def _fabric_plan(self) -> FabricPlan:
        try:
            return FabricPlan(
                self.cluster,
                [Placed(spec.address, spec.num_npus, spec.supernode) for spec in self.prefill],
                [Placed(spec.address, spec.num_npus, spec.supernode) for spec in self.decode],
                [one.num_cache_servers if self.pools else 0 for one in self.plan.supernodes],
                Plane[self.config.cache_plane.upper()],
                self.config.scale_out_oversubscription,
                has_cache_ssd=self._has_cache_ssd,
            )
        except HardwareModelError as error:
            raise ConfigError(str(error)) from error

    def model_weights(self) -> ModelWeights:
        """What an instance loads whose process was lost, and from where."""
        channels = self._model_channels(self._fabric_plan())
        parameters = self.model.total_parameters + (self.model.mtp_parameters if self.has_mtp else 0)
        num_bytes = parameters * self.cluster.defaults.precision.bytes_per_element
        return channels.weights(num_bytes, self.kv_bytes_per_token)

    def _model_channels(self, plan: FabricPlan) -> ModelChannels:
        """The weights lie where prefix KV does."""
        strategies = {"pool": Strategy.POOL, "local": Strategy.LOCAL, "none": Strategy.NONE}
        config = self.config
        plane = Plane[config.cache_plane.upper()]
        return ModelChannels(plan, strategies[config.cache], plane, config.cache_weight_versions)

    def plane_capacity_bytes_per_s(self) -> dict[Plane, float]:
        """Line rate of all endpoints of each plane together, in all supernodes, one direction."""
        cluster, num_supernodes = self.cluster, len(self.plan.supernodes)
        ends = {Plane.UB: Endpoint.DIE, Plane.RDMA: Endpoint.DIE, Plane.VPC: Endpoint.NODE}
        return {
            plane: num_supernodes
            * cluster.num_endpoints(end)
            * cluster.port(CatalogPlane(plane.name.lower()), end).bytes_per_s.value
            for plane, end in ends.items()
        }

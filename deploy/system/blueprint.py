"""Builds the parts of a system from settings: the only place where control plane, workers and physics meet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from deploy.settings.flow_control import flow_control
from deploy.settings.settings import Settings
from deploy.system.aggregated import aggregated_config, check_aggregated
from deploy.system.caches import make_own_cache, make_pool, pools_of, reads_sessions
from deploy.system.drafting import decode_config, drafting_of
from deploy.system.fabric import FabricPlan, plane_capacity_bytes_per_s
from deploy.system.facility import fleet_curves
from deploy.system.grounds import places_of
from deploy.system.instance_physics import InstancePhysics
from deploy.system.instances import InstanceSpec, Role, placed, specs_of
from deploy.system.routers import make_policies
from deploy.system.several_clusters import check_supernodes
from deploy.system.weight_channels import ModelChannels
from scheduler.core.config import CacheMode, SchedulerConfig
from scheduler.core.fleet import InstanceInfo
from scheduler.core.guests.weight_loads import ModelWeights
from scheduler.core.scheduler import Scheduler
from scheduler.metrics.facility import FacilityCurves, Places
from scheduler.protocol.addresses import FABRIC_ADDRESS, pool_addresses
from scheduler.protocol.component import NEVER_NS, Component
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.fabric_messages import Plane
from sim_hw.clusters.supernode import Supernode
from sim_hw.errors import HardwareModelError
from sim_hw.instance.kv_room import KV_BLOCK_TOKENS
from sim_hw.instance.ub_shares import PPM
from sim_hw.model_loading import Strategy
from workers.aggregated.instance import AggregatedInstance
from workers.cache.sizes import StoreSizes
from workers.cache.store import BlockStore
from workers.decode.instance import DecodeInstance
from workers.fabric.expert_load import CostAtShares, ExpertLoad
from workers.fabric.expert_traffic import ExpertLinks
from workers.fabric.fabric import Fabric, FabricConfig
from workers.prefill.config import PrefillConfig
from workers.prefill.instance import PrefillInstance

if TYPE_CHECKING:  # a virtual run is not watched, and few have a power cap
    from scheduler.core.guests.power_budgets import PowerCap
    from scheduler.core.scaling.rules import ScalingRules
    from scheduler.metrics.layout import LiveInstance

Cost = TypeVar("Cost")


class Blueprint:
    """Settings held against their hardware: names every part and makes any of them on its own.

    The virtual runtime makes all parts in one process; live, each Ray actor makes only what it hosts, from the same
    settings. `block_tokens` is the trace's prefix block size. `loads_models`: workers may be lost, so that the fabric
    is to have the ways on which models are loaded.
    """

    def __init__(self, settings: Settings, block_tokens: int, *, loads_models: bool = False) -> None:
        self.settings = settings
        self.block_tokens = block_tokens
        self._loads_models = loads_models
        hardware = settings.hardware
        self.cluster, self.model, self.plan = hardware.cluster, hardware.model, hardware.plan
        self._is_capped = settings.power.cap_w is not None
        self.supernodes = hardware.supernodes
        check_supernodes(settings)
        self.drafting = drafting_of(settings)
        self._physics_of = {
            one.name: InstancePhysics(
                replace(hardware, cluster=one), settings.instances, self.drafting, is_capped=self._is_capped
            )
            for one in self.supernodes
        }
        plans = self.plan.supernodes
        self.prefill = specs_of(Role.PREFILL, [one.prefill_npus for one in plans])
        self.decode = specs_of(Role.DECODE, [one.decode_npus for one in plans])
        self.aggregated = specs_of(Role.AGGREGATED, [one.aggregated_npus for one in plans])
        check_aggregated(settings)
        self.absent = self._add_slots() if settings.scaling.is_on else frozenset[str]()
        """Who may be started, and is not there at first."""
        self.pools = pools_of(settings)
        self._tells_sessions = reads_sessions(settings.cache)
        # Whether the pool is reached is to be known before anything starts.
        self._fabric = self._fabric_config()
        self._expert_links: Mapping[str, ExpertLinks] = self._fabric.expert_links

    def _add_slots(self) -> frozenset[str]:
        from deploy.system.slots import with_slots

        by_role, absent = with_slots(self.instances, self.settings)
        self.prefill, self.decode, self.aggregated = (by_role[role] for role in Role)
        return absent

    def _scaling_rules(self) -> ScalingRules:
        from deploy.system.slots import scaling_rules

        return scaling_rules(self.instances, self.absent, self.curves.num_npus, self.settings)

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
                spec.role.value,
                spec.num_npus,
                # Every rank of a prefill instance holds the same KV, every die of another its own.
                self._kv_tokens(spec) * (1 if spec.role is Role.PREFILL else self._num_dies(spec)),
                spec.supernode,
                spec.first_npu if self.settings.scaling.is_on else None,
                spec.address not in self.absent,
            )
            for spec in self.instances
        ]

    @property
    def instances(self) -> list[InstanceSpec]:
        """All that account for NPUs, in the order in which NPUs are dealt out."""
        return [*self.prefill, *self.decode, *self.aggregated]

    @property
    def prefill_stage(self) -> list[InstanceSpec]:
        """All that compute prompts, in the order of the core."""
        return [*self.prefill, *self.aggregated]

    @property
    def decode_stage(self) -> list[InstanceSpec]:
        """All that decode, in the order of the core."""
        return [*self.decode, *self.aggregated]

    def prefill_infos(self) -> list[InstanceInfo]:
        """Instances of the prefill stage as they register."""
        return [self._info(spec) for spec in self.prefill_stage]

    def decode_infos(self) -> list[InstanceInfo]:
        """Instances of the decode stage as they register."""
        return [self._info(spec) for spec in self.decode_stage]

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that every instance holds, with its first token: a longer one is turned away."""
        return min((one.max_sequence_tokens for one in [*self.prefill_infos(), *self.decode_infos()]), default=1) - 1

    @cached_property
    def curves(self) -> FacilityCurves:
        """What all supernodes draw beside the NPUs of the plan."""
        return fleet_curves(self.settings.money.site, self.supernodes, self.plan, self.instances)

    def npu_places(self) -> Places:
        """Where the NPUs of the plan stand: instances take them in their order."""
        return places_of(self.instances, self.supernodes)

    def make_core(self) -> Scheduler:
        """The control plane's state machine."""
        settings, cache, requests = self.settings, self.settings.cache, self.settings.requests
        pass_tokens = max(1, *(self._pass_tokens(spec) for spec in self.prefill_stage))
        return Scheduler(
            SchedulerConfig(
                prefill=self.prefill_infos(),
                decode=self.decode_infos(),
                cache_mode=cache.mode,
                cache_plane=cache.plane,
                pools=pool_addresses(len(self.plan.supernodes)),
                num_cache_servers=tuple(one.num_cache_servers for one in self.plan.supernodes),
                has_cache_ssd=cache.has_ssd,
                keeps_answers=cache.answers,
                has_cache_policy=not cache.policy.is_lru,
                tells_sessions=self._tells_sessions,
                max_open_requests=requests.max_open_requests,
                view_age_ns=round(settings.routing.view_age_s * 1e9),
                counts_sends=settings.routing.counts_sends,
                supernode_candidates=settings.routing.supernode_candidates,
                supernode_key_blocks=settings.routing.supernode_key_blocks,
                power=self._power_cap(),
                parking=settings.power.parking,
                classes=requests.classes,
                weights=self.model_weights(),
                scaling=self._scaling_rules() if settings.scaling.is_on else None,
                disaggregation=settings.routing.disaggregation.spec,
                make_rule=settings.routing.disaggregation.make_disaggregation,
            ),
            *make_policies(settings),
            flow_control(requests, settings.money.tariff, pass_tokens),
            [make_policies(settings, replica) for replica in range(1, settings.routing.routers)],
        )

    def make_worker(self, address: str, report_interval_ns: int = NEVER_NS, began_ns: int = 0) -> Component:
        """The worker of that address; one that is made within a run accounts from `began_ns`."""
        if address == FABRIC_ADDRESS:
            return Fabric(self._fabric)
        if address in self.pools:
            return make_pool(self.pool_sizes(self.pools.index(address)), self.settings.cache.policy, address)
        spec = next(spec for spec in self.instances if spec.address == address)
        if spec.role is Role.AGGREGATED:
            physics, cache = self._physics(spec).aggregated(spec.num_npus), self._own_cache(spec)
            sizes = aggregated_config(physics, self.settings, self._pass_tokens(spec), report_interval_ns)
            parts = physics.cost(), physics.power, cache
            aggregated = AggregatedInstance(address, sizes, *parts, began_ns=began_ns, throttle=physics.throttle)
            return self._parkable(spec, aggregated)
        if spec.role is Role.PREFILL:
            return self._parkable(spec, self._make_prefill(spec, began_ns))
        return self._parkable(spec, self._make_decode(spec, report_interval_ns, began_ns))

    def _parkable(self, spec: InstanceSpec, inner: PrefillInstance | DecodeInstance) -> Component:
        """An instance that can be parked, if any may be."""
        if self.settings.power.parking is None:
            return inner
        from sim_hw.instance.parking import parked_instance
        from workers.parking import ParkableInstance

        return ParkableInstance(inner, inner.is_empty, parked_instance(self.cluster_of(spec).chip, spec.num_npus))

    def _power_cap(self) -> PowerCap | None:
        if self.settings.power.cap_w is None:
            return None
        from deploy.system.power_budget import power_cap, registered

        stages = [
            [registered(spec, self._physics(spec), self.cluster_of(spec).chip) for spec in specs]
            for specs in (self.prefill, self.decode, self.aggregated)
        ]
        return power_cap(self.settings, self.curves, *stages, absent=self.absent)

    def _info(self, spec: InstanceSpec) -> InstanceInfo:
        # A sequence may fit in memory and still be longer than the model's positions.
        kv_tokens = self._kv_tokens(spec)
        longest = min(kv_tokens, self.model.max_positions)
        size = spec.address, spec.num_npus, longest, spec.supernode
        if spec.role is Role.DECODE:
            return InstanceInfo(*size, kv_tokens * self._num_dies(spec))
        all_tokens = kv_tokens if spec.role is Role.PREFILL else kv_tokens * self._num_dies(spec)
        cache_blocks = self._own_cache_blocks(spec) if self._has_own_caches else 0
        return InstanceInfo(*size, all_tokens, cache_blocks, self._pass_tokens(spec))

    @property
    def _has_own_caches(self) -> bool:
        return self.settings.cache.mode is CacheMode.LOCAL

    def _kv_tokens(self, spec: InstanceSpec) -> int:
        """KV tokens of a prefill instance, or of one die of another."""
        if spec.role is Role.PREFILL:
            return self._physics(spec).prefill(spec.num_npus).kv_blocks * KV_BLOCK_TOKENS
        physics = self._physics(spec)
        of_role = physics.decode if spec.role is Role.DECODE else physics.aggregated
        return of_role(spec.num_npus).room.kv_blocks * KV_BLOCK_TOKENS

    def _pass_tokens(self, spec: InstanceSpec) -> int:
        """Prompt tokens that an instance computes at most in one pass or step."""
        instances = self.settings.instances
        per_npu = instances.prefill_tokens_per_npu
        return spec.num_npus * (per_npu if spec.role is Role.PREFILL else instances.aggregated_tokens_per_npu)

    def _num_dies(self, spec: InstanceSpec) -> int:
        return spec.num_npus * self.cluster_of(spec).chip.num_dies.count

    def cluster_of(self, spec: InstanceSpec) -> Supernode:
        """What an instance stands in."""
        return self.supernodes[spec.supernode]

    def _physics(self, spec: InstanceSpec) -> InstancePhysics:
        return self._physics_of[self.cluster_of(spec).name]

    def _make_prefill(self, spec: InstanceSpec, began_ns: int) -> PrefillInstance:
        physics = self._physics(spec).prefill(spec.num_npus)
        cache = self._own_cache(spec)
        return PrefillInstance(
            spec.address,
            PrefillConfig(
                self._pass_tokens(spec), physics.kv_blocks, physics.least_budget_w, names_next=bool(self.pools)
            ),
            physics.cost,
            physics.power,
            cache,
            began_ns=began_ns,
            expert_load=self._expert_load(spec, physics.at_shares, physics.line_ns),
            throttle=physics.throttle,
        )

    def _make_decode(self, spec: InstanceSpec, report_interval_ns: int, began_ns: int) -> DecodeInstance:
        physics = self._physics(spec).decode(spec.num_npus)
        sizes = decode_config(physics, self.settings)
        config = replace(sizes, report_interval_ns=report_interval_ns, budget_w=physics.least_budget_w)
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
        return self._store_sizes(1, spec.num_npus / self.cluster_of(spec).npus_per_node.count)

    def _own_cache(self, spec: InstanceSpec) -> BlockStore | None:
        if not self._has_own_caches:
            return None
        return make_own_cache(self._own_store_sizes(spec), self.settings.cache.policy)

    def _own_cache_blocks(self, spec: InstanceSpec) -> int:
        sizes = self._own_store_sizes(spec)
        return sizes.dram_tokens // sizes.block_tokens

    def pool_sizes(self, supernode: int = 0) -> StoreSizes:
        """Of the cache pool of a supernode, in tokens of KV."""
        return self._store_sizes(self.plan.supernodes[supernode].num_cache_servers)

    def _store_sizes(self, num_servers: int, nodes_per_server: float = 1.0) -> StoreSizes:
        """Of a store of KV on so many cache servers."""
        cache, token_bytes = self.settings.cache, self.kv_bytes_per_token
        return StoreSizes(
            num_servers,
            int(cache.bytes_per_server * nodes_per_server // token_bytes),
            cache.block_tokens or self.block_tokens,
            int(cache.ssd_bytes_per_server // token_bytes) if cache.has_ssd else 0,
            cache.tenant_share,
            self.block_tokens,
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """What a token of KV takes wherever it is kept, and on its way."""
        return self.drafting.kv_bytes_per_token(self.model, self.cluster.defaults.kv_precision.bytes_per_element)

    def _fabric_config(self) -> FabricConfig:
        num_layers = self.drafting.layers(self.model)
        plan, load = self._fabric_plan(), self.settings.fabric
        if self._loads_models or self.absent:
            self._model_channels(plan)
        return plan.config(self.kv_bytes_per_token, num_layers, load.expert_traffic, load.background)

    def _fabric_plan(self) -> FabricPlan:
        try:
            return FabricPlan(
                self.cluster,
                placed(self.prefill),
                placed(self.decode),
                [one.num_cache_servers if self.pools else 0 for one in self.plan.supernodes],
                self.settings.cache.plane,
                self.settings.fabric.scale_out_oversubscription,
                aggregated=placed(self.aggregated),
                has_cache_ssd=self.settings.cache.has_ssd,
                keeps_answers=self.settings.cache.answers,
                clusters=self.supernodes,
            )
        except HardwareModelError as error:
            raise ConfigError(str(error)) from error

    def model_weights(self) -> ModelWeights:
        """What an instance loads whose process was lost, and from where."""
        channels = self._model_channels(self._fabric_plan())
        return channels.weights(
            lambda cluster: self.drafting.weight_bytes(self.model, cluster.defaults), self.kv_bytes_per_token
        )

    def _model_channels(self, plan: FabricPlan) -> ModelChannels:
        """The weights lie where prefix KV does."""
        cache = self.settings.cache
        return ModelChannels(plan, Strategy[cache.mode.name], cache.plane, cache.weight_versions)

    def plane_capacity_bytes_per_s(self) -> dict[Plane, float]:
        """Line rate of all endpoints of each plane together, in all supernodes, one direction."""
        return plane_capacity_bytes_per_s(self.supernodes)
